"""Finding a Python for Triton's environment: 3.11 or 3.12, with the shared library that Triton's Python stub is linked with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("3.12", "3.11")
"""What Triton's wheel has a stub for and numpy < 2 a wheel, best first."""

_PROBE_SECONDS = 20
_PROBE = """
import json, sys, sysconfig
v = sysconfig.get_config_var
print(json.dumps([sys.executable, "%d.%d.%d" % sys.version_info[:3], v("LIBDIR") or "", v("INSTSONAME") or ""]))
"""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter that can carry Triton's stub. `version` has three numbers; `library_folder` holds its libpython."""

    executable: Path
    version: str
    library_folder: Path

    @property
    def minor(self) -> str:
        """`3.11` or `3.12`."""
        return ".".join(self.version.split(".")[:2])


def inspect_python(executable: Path) -> Python | None:
    """What an interpreter is, asked of itself; None when it does not run, has the wrong version or no shared library."""
    try:
        # -I: neither PYTHONPATH nor the working directory has a say in what is imported.
        answer = subprocess.run(
            [str(executable), "-I", "-c", _PROBE], capture_output=True, check=True, timeout=_PROBE_SECONDS
        )
        real, version, folder, library = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    python = Python(Path(real), version, Path(folder))
    usable = python.minor in VERSIONS and ".so" in library and (python.library_folder / library).exists()
    return python if usable else None


def find_python(environment: Mapping[str, str]) -> Python | None:
    """The running interpreter if it will do, else one on the PATH, else one of pyenv's, else None."""
    return next((python for python in map(inspect_python, _candidates(environment)) if python is not None), None)


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    yield Path(sys.executable)
    folders = [Path(folder) for folder in environment.get("PATH", "").split(os.pathsep) if folder]
    # Every folder of the PATH, not only the first that has the name: pyenv's stand-ins fail for versions that are not active.
    for version in VERSIONS:
        yield from (folder / f"python{version}" for folder in folders)
    roots = [Path(root) / ".pyenv" for root in (environment.get("HOME"),) if root]
    roots += [Path(root) for root in (environment.get("PYENV_ROOT"),) if root]
    roots += [folder.parent for folder in folders if folder.name == "shims"]
    for version in VERSIONS:
        for root in roots:
            yield from sorted(root.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)
