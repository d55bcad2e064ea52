"""Landlock: files are read where we say and written nowhere; nothing is run, nobody is signalled, no port is opened.

https://docs.kernel.org/userspace-api/landlock.html. Rights that came with a later version of the interface are used where they
are there. What it does not know: UDP, reading what is already open, connecting to a path's socket (see `syscalls`).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from vidette_frame_worker.confinement import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on every architecture."""
_VERSION: Final = 1
_BENEATH, _PORT = 1, 2

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_FILES: Final = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""Version of the interface, and the rights that came with it: to run, write, read, list, remove, make; link elsewhere; truncate;
control devices."""
_BIND_TCP: Final = 1 << 0
_SCOPES: Final = (1 << 0) | (1 << 1)
"""Abstract sockets and signals of others."""


class Handled(NamedTuple):
    """What is forbidden unless a rule allows it."""

    files: int
    network: int
    scopes: int

    def packed(self) -> bytes:
        """Without the fields that an older kernel does not know."""
        fields = [self.files, self.network, self.scopes]
        while fields[-1] == 0:
            fields.pop()
        return struct.pack(f"={len(fields)}Q", *fields)


def handled(version: int) -> Handled:
    files = sum(rights for since, rights in _FILES if since <= version)
    return Handled(files, _BIND_TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)


def restrict(readable: Iterable[Path], metrics_port: int | None) -> None:
    """For this thread and those that it starts. Raises Unsupported."""
    version = kernel.call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    all_of_it = handled(version)
    attributes = all_of_it.packed()
    ruleset = kernel.call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        if metrics_port is not None and all_of_it.network:
            _add(ruleset, _PORT, struct.pack("=QQ", _BIND_TCP, metrics_port))
        kernel.call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: Path) -> None:
    rights = _READ_FILE | (_READ_DIR if path.is_dir() else 0) | (_WRITE_FILE if path == Path(os.devnull) else 0)
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _add(ruleset, _BENEATH, struct.pack("=Qi", rights, place))
    finally:
        os.close(place)


def _add(ruleset: int, kind: int, rule: bytes) -> None:
    kernel.call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), rule, ctypes.c_uint32(0))
