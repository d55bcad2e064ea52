"""System calls that Python has no name for."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_ABSENT: Final = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.EINVAL}
"""What a kernel answers that has not what is asked for, or a sandbox around us that does not let us ask."""


class Unsupported(Exception):
    """The kernel, or what runs this process, does not let us have it; says why."""


def call(number: int, *arguments: object) -> int:
    """Raises Unsupported, and OSError for what cannot be."""
    answer: int = _LIBC.syscall(ctypes.c_long(number), *arguments)
    return _checked(answer)


def prctl(option: int, value: int) -> int:
    zero = ctypes.c_ulong(0)
    answer: int = _LIBC.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)
    return _checked(answer)


def _checked(answer: int) -> int:
    if answer >= 0:
        return answer
    number = ctypes.get_errno()
    if number in _ABSENT:
        raise Unsupported(f"not supported by this kernel ({errno.errorcode[number]})")
    raise OSError(number, os.strerror(number))
