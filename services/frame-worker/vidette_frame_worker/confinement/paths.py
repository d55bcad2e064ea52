"""Which files a worker still reads once it works: libraries that are loaded late, certificates, and how names are looked up."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import vidette_core
import vidette_frame_worker

SYSTEM: Final = tuple(map(Path, ("/usr", "/lib", "/lib64", "/etc", "/sys/devices/system/cpu", "/sys/fs/cgroup")))
DEVICES: Final = tuple(map(Path, ("/dev/null", "/dev/urandom", "/dev/random")))
_RESOLVER: Final = Path("/etc/resolv.conf")
_CERTIFICATES: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
)
"""Variables in which those who connect for us are told of certificates and keys."""


def readable_paths() -> tuple[Path, ...]:
    """Files and folders that are there, each with all below it."""
    modules = [*map(Path, sys.path), Path(sys.prefix), Path(sys.base_prefix)]
    own = [Path(place) for package in (vidette_core, vidette_frame_worker) for place in package.__path__]
    return tuple(path for path in (*own, *wanted(modules, Path.cwd(), os.environ)) if path.exists())


def wanted(modules: Iterable[Path], here: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """`python -m` looks for modules in the working directory too, which may be anybody's home."""
    yield from (path for path in modules if path.is_absolute() and path != here)
    yield from (*SYSTEM, *DEVICES)
    yield _RESOLVER.resolve().parent  # which is rewritten when the network changes
    for name in _CERTIFICATES:
        for path in map(Path, filter(None, variables.get(name, "").split(os.pathsep))):  # OpenSSL takes several folders
            # Kubernetes swaps a mounted folder's contents by a link beside them, which has to be followed anew each time.
            yield path.parent if (path.parent / "..data").exists() else path
