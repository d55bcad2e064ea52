"""What processes use while something runs: resident memory, sampled, and CPU time, with all their children."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil

MIB = 2**20
_PERIOD_S = 0.02


def resident(pid: int) -> float:
    """MiB of one process."""
    return float(psutil.Process(pid).memory_info().rss) / MIB


def cpu_seconds(*pids: int) -> float:
    """User and system time of living processes and their living children, so far."""
    total = 0.0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


class Peak:
    """A context manager: the greatest resident memory of a process within the block, in MiB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak", daemon=True)
        self.mib = resident(pid)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self.mib = max(self.mib, resident(self._pid))


class Stopwatch:
    """Wall time of a block, and the CPU time that the given processes spent in it."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self.seconds = 0.0
        self.cpu = 0.0

    def __enter__(self) -> Self:
        self._began, self._used = time.perf_counter(), cpu_seconds(*self._pids)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        self.cpu = cpu_seconds(*self._pids) - self._used
