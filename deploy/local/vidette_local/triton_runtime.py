"""Triton for a machine without NVIDIA's image: an environment of its own, made from a lock file, and how to start the server.

<runtime>/triton/venv        tritonserver out of its wheel, ONNX Runtime, numpy < 2
<runtime>/triton/backends    the Python backend, and our stand-in for the ONNX Runtime backend
<runtime>/triton/stamp.json  from what the two were made; written last, so that a half-made folder has none
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidette_local.child import Command
from vidette_local.environment import MALLOC
from vidette_local.ports import LOOPBACK
from vidette_local.triton_python import VERSIONS, Python, find_python, inspect_python

CONTROL_HEADER = "vidette-control"
"""Triton wants it as the gRPC header `triton-grpc-protocol-vidette-control`."""
SHARED_MEMORY = Path("/dev/shm")

_RESTRICTED = ("metadata", "shared-memory", "model-config", "model-repository", "statistics", "trace", "logging")
"""Everything but health and inference."""
_EXIT_SECONDS = 10
_SYNC_SECONDS = 900
"""A first download is some 100 MB."""
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


class RuntimeUnavailable(Exception):
    """Triton's environment could not be made. The message names the cause and a remedy."""


@dataclass(frozen=True, slots=True)
class TritonRuntime:
    """A Triton server that is ready to be started."""

    folder: Path
    python: Python

    @property
    def program(self) -> Path:
        """The server's executable."""
        return _package(self.folder, self.python) / "bin" / "tritonserver"

    def command(self, repository: Path, grpc_port: int, metrics_port: int, control_secret: str, owner: str) -> Command:
        """How to start a server for `repository` that only this machine reaches. `owner` names its shared memory.

        Model control, statistics and the like are refused to callers without the header `triton-grpc-protocol-vidette-control`.
        Its value can only be given on the command line, so it protects from other users of the port, not of the machine.

        Every model is a process of its own (the stub), a child of the server. When the server is killed they end by themselves
        within two seconds, as a rule: make sure by killing the process group, then call `sweep_shared_memory`.
        """
        flags = {
            "model-repository": repository,
            "backend-directory": self.folder / "backends",
            "cache-directory": _package(self.folder, self.python) / "caches",
            # Explicit: only then can a model whose stub died be unloaded and loaded again.
            "model-control-mode": "explicit",
            "load-model": "*",
            # A model that does not load must not take the others down; readiness is asked for each.
            "exit-on-error": "false",
            "allow-http": "false",
            "grpc-address": LOOPBACK,
            "grpc-port": grpc_port,
            "grpc-restricted-protocol": f"{','.join(_RESTRICTED)}:{CONTROL_HEADER}={control_secret}",
            # Clients send keep-alives to notice a dead server; by default Triton hangs up on them for it.
            "grpc-http2-max-ping-strikes": 0,
            "metrics-address": LOOPBACK,
            "metrics-port": metrics_port,
            "allow-gpu-metrics": "false",
            "exit-timeout-secs": _EXIT_SECONDS,
            "backend-config": f"python,shm-region-prefix-name={shared_memory_prefix(owner)}",
        }
        options = (f"--{name}={value}" for name, value in flags.items())
        # Our configurations are complete, and asking the backend to complete them would start every process twice.
        argv = (str(self.program), "--disable-auto-complete-config", *options)
        return Command(argv=argv, cwd=self.folder, env=self._environment())

    def _environment(self) -> dict[str, str]:
        """Made from nothing: the server runs models, and has no use for anybody's secrets."""
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        libraries = _package(self.folder, self.python).parents[1] / "nvidia_pytriton.libs"
        return {
            **passed_on,
            **MALLOC,
            # The stub takes its environment from the first python on the PATH.
            "PATH": f"{self.folder / 'venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": f"{self.python.library_folder}:{libraries}",
        }


def prepare(runtime_dir: Path, project_dir: Path, uv: str) -> TritonRuntime:
    """Make Triton's environment under `runtime_dir`, or find it made. Several processes may do so at once.

    Args:
        runtime_dir: where to; moved or copied elsewhere it is made again, because environments hold absolute paths.
        project_dir: holds `pyproject.toml`, `uv.lock` and `onnxruntime/model.py`.
        uv: the program.

    Raises:
        RuntimeUnavailable: no suitable Python, or the packages could not be installed.
    """
    folder = runtime_dir.absolute() / "triton"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        made_from = _fingerprint(folder, project_dir)
        runtime = _made_before(folder, made_from)
        return runtime or _make(folder, project_dir, uv, made_from)


def shared_memory_prefix(owner: str) -> str:
    """How the names in /dev/shm begin through which the owner's server talks to its stubs."""
    return f"vidette_triton_{owner}_"


def sweep_shared_memory(owner: str) -> int:
    """Remove what a server killed by SIGKILL left in /dev/shm, once it and its stubs are gone; returns how much it was."""
    leftovers = list(SHARED_MEMORY.glob(f"{shared_memory_prefix(owner)}*"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as handle:
        # Blocks while another process installs; that is bounded by _SYNC_SECONDS, and a dead process holds no lock.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fingerprint(folder: Path, project_dir: Path) -> str:
    sources = (project_dir / "pyproject.toml", project_dir / "uv.lock", project_dir / "onnxruntime" / "model.py")
    digest = hashlib.sha256(str(folder).encode())
    for source in sources:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _made_before(folder: Path, made_from: str) -> TritonRuntime | None:
    """The runtime in `folder`, if it is whole, made from the same, and its Python is still what it was."""
    try:
        stamp = json.loads((folder / "stamp.json").read_text())
        python = inspect_python(folder / "venv" / "bin" / "python")
        if python is None or stamp != {"made_from": made_from, "python": python.version}:
            return None
    except (OSError, ValueError):
        return None
    runtime = TritonRuntime(folder, python)
    return runtime if runtime.program.exists() and _stub(folder).exists() else None


def _make(folder: Path, project_dir: Path, uv: str, made_from: str) -> TritonRuntime:
    (folder / "stamp.json").unlink(missing_ok=True)
    for half_made in ("venv", "backends"):
        shutil.rmtree(folder / half_made, ignore_errors=True)
    found = find_python(os.environ)
    _sync(folder, project_dir, uv, found)
    python = inspect_python(folder / "venv" / "bin" / "python")
    if python is None:
        raise RuntimeUnavailable(_no_python("the one that uv chose has no shared libpython"))
    _copy_backends(folder, project_dir, python)
    pending = folder / "stamp.json.new"
    pending.write_text(json.dumps({"made_from": made_from, "python": python.version}))
    pending.replace(folder / "stamp.json")
    return TritonRuntime(folder, python)


def _sync(folder: Path, project_dir: Path, uv: str, python: Python | None) -> None:
    """Install what the lock names; without a Python at hand uv looks for one itself, and downloads it where it may."""
    wanted = str(python.executable) if python else VERSIONS[0]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment["UV_PROJECT_ENVIRONMENT"] = str(folder / "venv")
    if not environment.get("HOME"):
        environment.setdefault("UV_CACHE_DIR", str(folder / "uv-cache"))
    argv = [uv, "sync", "--quiet", "--frozen", "--project", str(project_dir), "--python", wanted]
    try:
        subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=_SYNC_SECONDS)
    except FileNotFoundError as error:
        raise RuntimeUnavailable(f"{uv} was not found. Install uv: https://docs.astral.sh/uv/") from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeUnavailable(
            f"uv did not finish within {_SYNC_SECONDS} s. Is the package index reachable?"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-600:]
        if python is None:
            raise RuntimeUnavailable(_no_python(said)) from error
        raise RuntimeUnavailable(f"uv could not install Triton's packages: {said}") from error


def _no_python(cause: str) -> str:
    return (
        f"Triton needs Python {' or '.join(VERSIONS)} with a shared libpython, and none was found ({cause}). "
        f"Install one, e.g. with `uv python install {VERSIONS[0]}`, and start again."
    )


def _copy_backends(folder: Path, project_dir: Path, python: Python) -> None:
    """Copied, never linked: Triton refuses what a link leads to outside the backend directory."""
    package = _package(folder, python)
    backends = folder / "backends"
    shutil.copytree(package / "backends" / "python", backends / "python")
    shutil.copy2(package / "python_backend_stubs" / python.minor / "triton_python_backend_stub", _stub(folder))
    (backends / "onnxruntime").mkdir()
    shutil.copy2(project_dir / "onnxruntime" / "model.py", backends / "onnxruntime" / "model.py")


def _package(folder: Path, python: Python) -> Path:
    return folder / "venv" / "lib" / f"python{python.minor}" / "site-packages" / "pytriton" / "tritonserver"


def _stub(folder: Path) -> Path:
    return folder / "backends" / "python" / "triton_python_backend_stub"
