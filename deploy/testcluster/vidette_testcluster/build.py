"""Builds the cluster's programs from Go modules, once for each content.

A build takes twenty minutes on two cores, so its result is kept outside the checkout under a name made of everything that
decides it: the module's files, the version of Go, the flags. It appears there whole or not at all.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidette_testcluster.errors import ClusterError
from vidette_testcluster.processes import run, tail
from vidette_testcluster.state import take_lock

SOURCES = Path(__file__).resolve().parent.parent
VERSION = "v1.34.4"
UNFINISHED = "unfinished-"
BUILD_LIMIT = 90 * 60.0
KEPT = 2  # of each module's programs and each service's image: the present, and that of the branch one goes to and fro between


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module of ours and the programs that come out of it: package to file name, and other names for a file."""

    folder: str
    programs: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...] = ()
    linker: str = "-s -w"


@dataclass(frozen=True, slots=True)
class Files:
    """Files of somebody's Go module as they are: `sum` is what go.sum would say of it."""

    module: str
    sum: str
    pattern: str


def _version_flags() -> str:
    """Without these a self-built Kubernetes calls itself v0.0.0-master, and clients refuse to talk to it."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    values = {
        "gitVersion": VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())


KUBE = Module(
    "kube",
    programs=((".", "kube"), ("./pause", "pause")),
    links=tuple(
        (name, "kube")
        for name in (
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        )
    ),
    linker=f"-s -w {_version_flags()}",
)
DNS = Module("dns", programs=(("github.com/coredns/coredns", "coredns"),))
HELM = Module("helm", programs=(("helm.sh/helm/v4/cmd/helm", "helm"),))
INGRESS = Module("ingress", programs=(("github.com/traefik/traefik/v3/cmd/traefik", "traefik"),))
MODULES = (KUBE, DNS, HELM)  # Traefik takes minutes to build, and few tests run it: `built`
# Custom resource definitions of others, for objects that a chart may make of them.
DEFINITIONS = (
    Files(
        "sigs.k8s.io/gateway-api@v1.4.0",
        "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=",
        "config/crd/standard/gateway.networking.k8s.io_*.yaml",
    ),
    Files(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/monitoring.coreos.com_*s.yaml",
    ),
    Files(
        "github.com/kedacore/keda/v2@v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
    ),
)

# grpcnotrace: without it golang.org/x/net/trace keeps the linker from dropping unused methods. notest: as upstream's releases.
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-tags=grpcnotrace,notest")


def cache() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vidette", "testcluster")
    return Path(os.environ.get("VIDETTE_TESTCLUSTER_CACHE") or default).absolute()


def digest(module: Module, go: str, sources: Path = SOURCES) -> str:
    """Of everything that decides what the build gives. `sources` is the folder that the module's folder lies in."""
    content = hashlib.sha256(repr((module, FLAGS, go)).encode())
    for file in sorted((sources / module.folder).rglob("*")):
        if file.is_file() and (file.suffix == ".go" or file.name in ("go.mod", "go.sum")):
            content.update(f"{file.relative_to(sources)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return content.hexdigest()[:16]


def go_version() -> str:
    if shutil.which("go") is None:
        raise ClusterError(
            "building from Go modules takes Go 1.26 or later: install it and put `go` on PATH (https://go.dev/dl)"
        )
    return run(["go", "env", "GOVERSION"], "asking Go for its version").strip()


def ensure() -> Path:
    """The folder with all programs, built if need be. Raises ClusterError with the end of the build's log."""
    go = go_version()
    folders = [_built(module, go) for module in MODULES]
    folders.append(_definitions())
    programs = _together(folders)
    for present in (*folders, programs):
        forget_old(present)
    return programs


def built(module: Module, sources: Path) -> Path:
    """The folder with the programs of a module that no cluster needs, built if need be, as in `ensure`."""
    folder = _built(module, go_version(), sources)
    forget_old(folder)
    return folder


def forget_old(present: Path) -> None:
    """What earlier versions of a folder or file left beside it: only the one that was used last stays."""
    os.utime(present)
    kind = present.name.removesuffix(present.suffix).rpartition("-")[0]
    versions = present.parent.glob(f"{kind}-{'[0-9a-f]' * 16}{present.suffix}")
    for old in sorted(versions, key=lambda version: version.stat().st_mtime)[:-KEPT]:
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)  # somebody else may be at it too
        else:
            old.unlink(missing_ok=True)


def _built(module: Module, go: str, sources: Path = SOURCES) -> Path:
    folder = cache() / f"{module.folder}-{digest(module, go, sources)}"
    if not folder.exists():
        with _only_builder():
            if not folder.exists():  # somebody else may have built it while we waited
                _build(module, sources / module.folder, folder)
    return folder


@contextmanager
def _only_builder() -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    handle = os.open(cache(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        take_lock(handle, f"a build in {cache()}", time.monotonic() + BUILD_LIMIT)
        yield
    finally:
        os.close(handle)


def _build(module: Module, source: Path, folder: Path) -> None:
    for left in cache().glob(f"{UNFINISHED}*"):  # by a builder that was killed: we hold the lock, so none is at work
        shutil.rmtree(left)
    log = cache() / f"{module.folder}.log"
    print(f"building {module.folder} from source, once; the log is {log}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache(), prefix=UNFINISHED) as unfinished, log.open("wb") as output:
        made = Path(unfinished, "made")
        made.mkdir()
        for package, name in module.programs:
            command = ["go", "build", *FLAGS, f"-ldflags={module.linker}", "-o", str(made / name), package]
            try:
                done = subprocess.run(
                    command,
                    cwd=source,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=BUILD_LIMIT,
                    env={**os.environ, "CGO_ENABLED": "0"},
                )
            except subprocess.TimeoutExpired:
                raise ClusterError(
                    f"building {name} took longer than {BUILD_LIMIT / 60:.0f} minutes.\n{tail(log)}"
                ) from None
            if done.returncode != 0:
                raise ClusterError(f"building {name} failed with {done.returncode}.\n{tail(log)}")
        for name, target in module.links:
            (made / name).symlink_to(target)
        made.replace(folder)
    print(f"built {module.folder} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _definitions() -> Path:
    folder = cache() / f"definitions-{hashlib.sha256(repr(DEFINITIONS).encode()).hexdigest()[:16]}"
    if not folder.exists():
        with _only_builder(), tempfile.TemporaryDirectory(dir=cache(), prefix=UNFINISHED) as unfinished:
            made = Path(unfinished, "made")
            made.mkdir()
            for files in DEFINITIONS:
                # Outside of any module, where it is asked for by version.
                command = ["go", "-C", str(made), "mod", "download", "-json", files.module]
                told = json.loads(run(command, f"downloading {files.module}", limit=BUILD_LIMIT, proxies=True))
                if told["Sum"] != files.sum:
                    raise ClusterError(f"{files.module} has the checksum {told['Sum']}, and not {files.sum}")
                for file in Path(told["Dir"]).glob(files.pattern):
                    shutil.copyfile(file, made / file.name)
            if not folder.exists():  # somebody else may have made it while we waited
                made.replace(folder)
    return folder


def _together(folders: list[Path]) -> Path:
    """One folder of links for the programs of all modules, so that a cluster needs to remember only one path."""
    name = "programs-" + hashlib.sha256("".join(folder.name for folder in folders).encode()).hexdigest()[:16]
    programs = cache() / name
    if programs.exists():
        return programs
    with _only_builder():
        if not programs.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix=UNFINISHED) as unfinished:
                made = Path(unfinished, "made")
                made.mkdir()
                for folder in folders:
                    for file in folder.iterdir():
                        (made / file.name).symlink_to(Path("..", folder.name, file.name))
                made.replace(programs)
    return programs
