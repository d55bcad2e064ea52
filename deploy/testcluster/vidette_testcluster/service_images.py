"""Builds Vidette's own images from their Dockerfiles, without a registry and without a Docker daemon.

No registry, so no upstream base: Debian's Python stands in for it under the upstream's name. What that leaves untried is whether
the wheels fit that base's Python too. An image is kept under a name made of everything that decides it, and appears whole or not
at all.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidette_testcluster import packages
from vidette_testcluster.build import UNFINISHED, cache, forget_old
from vidette_testcluster.processes import run
from vidette_testcluster.state import take_lock

REPOSITORY = Path(__file__).resolve().parents[3]
SERVICES = {
    "api": "services/api",
    "controller": "services/controller",
    "frame-worker": "services/frame-worker",
    "models": "libs/models",
    "triton-cpu": "deploy/triton/cpu",
}
"""Each image's name, and the folder with its Dockerfile and sources."""
REGISTRY = "registry.vidette.test"
BASE = "docker.io/library/python:3.13-slim-bookworm"  # as the Dockerfiles name it
SUITE = "bookworm"
BASE_PACKAGES = (
    "ca-certificates",
    "libpython3.11",
    "python3",
    "python3-venv",
)  # the library is in upstream's image too
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_LIMIT = 1200.0
_SOURCES = ("pyproject.toml", "uv.lock", ".dockerignore", "deploy/local/pyproject.toml", "deploy/images", "libs/core")
_ALONE = ("deploy/triton/cpu",)
"""Images into which nothing of the workspace goes."""


@dataclass(frozen=True, slots=True)
class ServiceImage:
    """What a pod calls it, and the archive to import."""

    service: str
    reference: str
    archive: Path


def ensure() -> list[ServiceImage]:
    """The images of all services, built if need be. Raises ClusterError with what the builder said."""
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [_image(folder, service) for service in SERVICES]
    lacking = [image for image in wanted if not image.archive.exists()]
    if lacking:
        packages.ensure_for_images()
        with _only_builder(folder), _stand_in(folder) as builder:
            for image in lacking:
                if not image.archive.exists():  # somebody else may have built it while we waited
                    _build(builder, image)
    for image in wanted:
        os.utime(image.archive)
    return wanted


def _image(folder: Path, service: str) -> ServiceImage:
    name = _digest(service)
    return ServiceImage(service, f"{REGISTRY}/vidette-{service}:{name}", folder / f"{service}-{name}.tar")


def _digest(service: str) -> str:
    """Of everything that decides what the build gives: the service's own files, those of what it uses, the lock, the base."""
    content = hashlib.sha256(repr((BASE, SUITE, BASE_PACKAGES)).encode())
    folder = SERVICES[service]
    for source in (folder,) if folder in _ALONE else (*_SOURCES, folder):
        whole = REPOSITORY / source
        for file in sorted(whole.rglob("*")) if whole.is_dir() else [whole]:
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".md":
                told = f"{file.relative_to(REPOSITORY)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0"
                content.update(told.encode())
    return content.hexdigest()[:16]


@contextmanager
def _only_builder(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        take_lock(handle, f"a build in {folder}", time.monotonic() + BUILD_LIMIT)
        yield
    finally:
        os.close(handle)


@contextmanager
def _stand_in(folder: Path) -> Iterator[list[str]]:
    """The command of a builder that knows the base. What it stores goes with it: only the archives are kept."""
    recipe = hashlib.sha256(repr((SUITE, BASE_PACKAGES)).encode()).hexdigest()[:16]
    base = folder / f"base-{recipe}.tar"
    if not base.exists():
        _make_base(base)
    with tempfile.TemporaryDirectory(dir=folder, prefix=UNFINISHED) as store:
        builder = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", _driver()]
        container = run([*builder, "from", "scratch"], "beginning the base image").strip()
        run([*builder, "add", "--quiet", container, str(base), "/"], "filling the base image", limit=BUILD_LIMIT)
        run([*builder, "commit", "--quiet", "--rm", container, BASE], "storing the base image", limit=BUILD_LIMIT)
        try:
            yield builder
        finally:
            # Layers are mounted while they are in use: what a failed build left has to be let go of before its files are.
            run([*builder, "rm", "--all"], "letting go of what was built with")


def _driver() -> str:
    """Overlay file systems cannot lie on each other, as they would inside most containers."""
    return (
        "vfs"
        if run(["stat", "-f", "-c", "%T", str(cache())], "looking at the cache").strip() == "overlayfs"
        else "overlay"
    )


def _make_base(base: Path) -> None:
    print(f"making a base image of Debian's {', '.join(BASE_PACKAGES)}, once", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=base.parent, prefix=UNFINISHED) as unfinished:
        made = Path(unfinished, base.name)
        include = f"--include={','.join(BASE_PACKAGES)}"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", include, SUITE, str(made), *_mirrors()]
        run(command, "making the base image", limit=BUILD_LIMIT, proxies=True)
        made.replace(base)


def _mirrors() -> list[str]:
    """This machine's own, where it runs the same suite: it may reach no other."""
    found = [Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")]
    return [str(file) for file in found if file.is_file() and SUITE in file.read_text()][:1]


def _build(builder: list[str], image: ServiceImage) -> None:
    began = time.monotonic()
    certificates: list[str] = []
    if CERTIFICATES.is_file():
        certificates = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--build-arg", f"SSL_CERT_FILE={CERTIFICATES}"]
    file = REPOSITORY / SERVICES[image.service] / "Dockerfile"
    base = ["--build-arg", f"PYTHON_IMAGE={BASE}"]
    how = ["--isolation", "chroot", "--pull-never", "--format", "docker", *base, *certificates]
    command = [*builder, "bud", *how, "--file", str(file), "--tag", image.reference, str(REPOSITORY)]
    print(f"building the image of {image.service}", file=sys.stderr, flush=True)
    run(command, f"building the image of {image.service}", limit=BUILD_LIMIT, proxies=True)
    unfinished = image.archive.with_name(UNFINISHED + image.archive.name)
    unfinished.unlink(missing_ok=True)
    target = f"docker-archive:{unfinished}:{image.reference}"
    run(
        [*builder, "push", "--quiet", image.reference, target],
        f"writing the image of {image.service}",
        limit=BUILD_LIMIT,
    )
    unfinished.replace(image.archive)
    print(f"built it in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    forget_old(image.archive)
