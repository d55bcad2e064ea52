// All images of Vidette.
//   docker buildx bake                                       builds them for this machine
//   VERSION=0.1.0 docker buildx bake release --push          builds and pushes them as a release does (docs/releasing.md)

variable "REGISTRY" {
  description = "Where the images go, without a slash at the end."
  default     = "ghcr.io/vidette"
}

variable "VERSION" {
  description = "The images' tag."
  default     = "0.0.0"
}

variable "REVISION" {
  description = "The commit that they are built from."
  default     = "unknown"
}

variable "SOURCE" {
  description = "The repository's address. Registries link an image to it."
  default     = ""
}

variable "PYTHON_IMAGE" {
  description = "The base: a tag, which a release gives with @ and its digest."
  default     = "docker.io/library/python:3.13-slim-bookworm"
}

variable "PYTHON_DIGEST" {
  description = "That digest again, for the label that scanners read."
  default     = "unknown"
}

variable "PLATFORMS" {
  description = "What a release is built for. Every wheel of the lock exists for both."
  default     = "linux/amd64,linux/arm64"
}

variable "CACHE_FROM" {
  description = "Where layers of earlier builds may be found, e.g. type=registry,ref=…; empty is nowhere."
  default     = ""
}

variable "CACHE_TO" {
  description = "Where layers are kept for later builds; empty is nowhere."
  default     = ""
}

group "default" {
  targets = ["api", "controller", "frame-worker", "models"]
}

group "release" {
  targets = ["api-release", "controller-release", "frame-worker-release", "models-release"]
}

target "_common" {
  context = "."
  args = {
    PYTHON_IMAGE  = PYTHON_IMAGE
    PYTHON_DIGEST = PYTHON_DIGEST
    VERSION       = VERSION
    REVISION      = REVISION
  }
  labels = {
    "org.opencontainers.image.source" = SOURCE
  }
  cache-from = CACHE_FROM == "" ? [] : [CACHE_FROM]
  cache-to   = CACHE_TO == "" ? [] : [CACHE_TO]
}

// What only a registry can keep, and only BuildKit's container driver can make.
target "_release" {
  platforms = split(",", PLATFORMS)
  attest = [
    "type=provenance,mode=max",
    "type=sbom",
  ]
  annotations = [
    "index,manifest:org.opencontainers.image.source=${SOURCE}",
    "index,manifest:org.opencontainers.image.version=${VERSION}",
    "index,manifest:org.opencontainers.image.revision=${REVISION}",
    "index,manifest:org.opencontainers.image.base.name=${PYTHON_IMAGE}",
    "index,manifest:org.opencontainers.image.base.digest=${PYTHON_DIGEST}",
  ]
}

target "api" {
  inherits   = ["_common"]
  dockerfile = "services/api/Dockerfile"
  tags       = ["${REGISTRY}/vidette-api:${VERSION}"]
}

target "controller" {
  inherits   = ["_common"]
  dockerfile = "services/controller/Dockerfile"
  tags       = ["${REGISTRY}/vidette-controller:${VERSION}"]
}

target "frame-worker" {
  inherits   = ["_common"]
  dockerfile = "services/frame-worker/Dockerfile"
  tags       = ["${REGISTRY}/vidette-frame-worker:${VERSION}"]
}

target "models" {
  inherits   = ["_common"]
  dockerfile = "libs/models/Dockerfile"
  tags       = ["${REGISTRY}/vidette-models:${VERSION}"]
}

target "api-release" {
  inherits = ["api", "_release"]
}

target "controller-release" {
  inherits = ["controller", "_release"]
}

target "frame-worker-release" {
  inherits = ["frame-worker", "_release"]
}

target "models-release" {
  inherits = ["models", "_release"]
}
