"""Looking at processes from tests: who belongs to a stack, who still lives, and waiting with a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from vidette_local import leftovers, procfs
from vidette_local.home import Home


def stack_processes(home: Path) -> list[int]:
    """The living processes of the stack in this state folder, by the mark in their environment; not the supervisor."""
    return sorted(process.pid for process in leftovers.marked(Home(home)))


def is_alive(pid: int) -> bool:
    ticks = procfs.start_ticks(pid)
    return ticks is not None and procfs.alive(pid, ticks)


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
