"""Finds the programs that wheels carry: NATS and the store, each a package of one executable."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from vidette_local.parts.part import StartFailed


def program(name: str) -> str:
    """A program that a wheel put beside the interpreter, or on the PATH. Raises `StartFailed` when it is nowhere."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StartFailed(f"{name} was not found beside {sys.executable}. Install the packages again with `uv sync`.")
    return found
