"""Looking at processes from tests: who belongs to a stack, who still lives, and waiting with a limit."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vidette_local import leftovers, procfs
from vidette_local.home import Home


def stack_processes(home: Path) -> list[int]:
    """The living processes of the stack in this state folder, by the mark in their environment; not the supervisor."""
    return sorted(process.pid for process in leftovers.marked(Home(home)))


def is_alive(pid: int) -> bool:
    ticks = procfs.start_ticks(pid)
    return ticks is not None and procfs.alive(pid, ticks)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """The process stands still inside. The signal alone is not enough: its threads may answer a moment longer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: set(_thread_states(pid)) == {"T"}, 10, f"every thread of {pid} is stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _thread_states(pid: int) -> Iterator[str]:
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        yield stat.read_text().rpartition(")")[2].split()[0]


def wait_until(condition: Callable[[], bool], limit_seconds: float, what: str) -> None:
    """Poll until the condition holds. Fails the test when it does not within the limit."""
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_seconds:g} s: {what}"
        time.sleep(0.02)


async def eventually(condition: Callable[[], bool], limit_seconds: float, what: str) -> None:
    """The same for asynchronous tests."""
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_seconds:g} s: {what}"
        await asyncio.sleep(0.02)
