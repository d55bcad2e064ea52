"""What every part of the stack offers to its supervisor, and how one part is brought up by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from vidette_local.child import Child, Command
from vidette_local.logs import tail

_PROBE_SECONDS = 5.0  # one readiness probe
_PROBE_PAUSE_SECONDS = 0.1


class NotReady(Exception):
    """A part does not do its work yet. The message says what was tried."""


class StartFailed(Exception):
    """A part did not come up. The message names the cause as far as it is known, and the log."""


class Part(Protocol):
    """One supervised process. `start_seconds` is the limit from start to ready, `grace_seconds` from SIGTERM to SIGKILL."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def start_seconds(self) -> float: ...
    @property
    def grace_seconds(self) -> float: ...

    async def prepare(self) -> None:
        """Make what the process needs before it starts. Runs before every start, so it must be repeatable.

        Raises `StartFailed` with cause and remedy.
        """

    def command(self) -> Command: ...

    async def probe(self) -> None:
        """Return when the part does its real work; raise anything when it does not (yet)."""


async def wait_ready(part: Part, child: Child, log: Path) -> None:
    """Probe until ready. Raises `StartFailed` when the process ends first or the limit passes."""
    deadline = time.monotonic() + part.start_seconds
    last: Exception = NotReady("no probe was made")
    while time.monotonic() < deadline:
        if child.ended:
            code = await child.wait()
            raise StartFailed(f"{part.name} ended with exit code {code} before it was ready{_see(log)}")
        try:
            await asyncio.wait_for(part.probe(), min(_PROBE_SECONDS, max(0.1, deadline - time.monotonic())))
        except Exception as error:  # whatever a client library raises means the same here: not yet
            last = error
            await asyncio.sleep(_PROBE_PAUSE_SECONDS)
        else:
            return
    reason = f"{type(last).__name__}: {last}".splitlines()[0]
    raise StartFailed(f"{part.name} was not ready after {part.start_seconds:g} s (last: {reason}){_see(log)}")


def _see(log: Path) -> str:
    lines = tail(log)
    quoted = "".join(f"\n    {line}" for line in lines)
    return f"; see {log}{':' if lines else ''}{quoted}"


async def bring_up(part: Part, log: Path, started: Callable[[Child], None] = lambda _: None) -> Child:
    """Prepare, start and wait until ready. Raises `StartFailed`, with nothing left running.

    `started` hears of the process as soon as there is one.
    """
    try:
        await part.prepare()
        child = Child.start(part.command(), log)
    except StartFailed:
        raise
    except Exception as error:  # of whatever kind: the supervisor goes on, and tries again
        raise StartFailed(f"{part.name} could not be prepared: {type(error).__name__}: {error}") from error
    try:
        started(child)
        await wait_ready(part, child, log)
    except BaseException:
        child.kill()
        await child.wait()
        raise
    return child


@contextmanager
def running(part: Part, logs: Path) -> Iterator[Child]:
    """One part by itself, without a supervisor, for tests and tools. Must be entered from the main thread, outside a loop."""
    logs.mkdir(parents=True, exist_ok=True)
    child = asyncio.run(bring_up(part, logs / f"{part.name}.log"))
    try:
        yield child
    finally:
        child.stop_blocking(part.grace_seconds)
