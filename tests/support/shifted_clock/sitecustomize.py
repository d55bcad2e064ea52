"""Shifts the wall clock of a Python process that has this folder on its PYTHONPATH: by TEST_CLOCK_SHIFT_S seconds.

With TEST_CLOCK_JUMPS the shift changes its sign every second. What is shifted is what Python code sees: `time` and `datetime`. C
code is not reached (a machine's clock cannot be changed for one process without its own libc), so gRPC keeps the true time: it
computes deadlines in Python and hands them to C, which on a machine with a wrong clock would be as wrong.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Self

_SHIFT_S = float(os.environ.get("TEST_CLOCK_SHIFT_S", "0"))
_JUMPS = "TEST_CLOCK_JUMPS" in os.environ
_true_time, _true_time_ns = time.time, time.time_ns


def _shift() -> float:
    return -_SHIFT_S if _JUMPS and int(time.monotonic()) % 2 else _SHIFT_S


def _is_grpc() -> bool:
    return str(sys._getframe(2).f_globals.get("__name__", "")).startswith("grpc")


def _time() -> float:
    return _true_time() + (0 if _is_grpc() else _shift())


def _time_ns() -> int:
    return _true_time_ns() + (0 if _is_grpc() else int(_shift() * 10**9))


def _of_now(true: Callable[[Any], time.struct_time]) -> Any:
    def shifted(seconds: float | None = None) -> time.struct_time:
        return true(_true_time() + _shift() if seconds is None else seconds)

    return shifted


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(_true_time() + _shift(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(_true_time() + _shift(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Self:
        return cls.now()


time.time, time.time_ns = _time, _time_ns
time.gmtime, time.localtime = _of_now(time.gmtime), _of_now(time.localtime)
datetime.datetime = _Datetime  # type: ignore[misc]  # that is the point
