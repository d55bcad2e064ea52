"""Keeps the parts running: starts them in order, starts again what dies, stops them in reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vidette_local.child import Child
from vidette_local.leftovers import Ledger
from vidette_local.parts.part import Part, StartFailed, bring_up
from vidette_local.say import Say, say_on_stderr

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # a part that ran this long starts again without having to wait
FIRST_START_ATTEMPTS = 3
_PATIENCE_SECONDS = 8.0  # of whoever watches a start
_STOP_SECONDS = 16.0  # for all parts together, the api's grace and some more; what is left then is killed


class PartState(StrEnum):
    """Where a part stands. Only the supervisor moves it."""

    WAITING = "waiting"  # its turn has not come yet
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it died; it starts again after a pause
    FAILED = "failed"  # keeping it failed in a way that nobody foresaw; it is tried again after a pause
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One line of `ps`. `pid` is None while there is no process; `address` is host:port, or empty."""

    name: str
    pid: int | None
    state: str
    address: str


def next_backoff(previous: float | None, ran_seconds: float) -> float:
    """The pause before the next start: doubles up to the longest, begins anew after a time of health."""
    if previous is None or ran_seconds >= HEALTHY_SECONDS:
        return FIRST_BACKOFF_SECONDS
    return min(previous * 2, LONGEST_BACKOFF_SECONDS)


class KeptPart:
    """One part and its process through all its restarts."""

    def __init__(self, part: Part, logs: Path, ledger: Ledger, say: Say) -> None:
        self.part = part
        self.state = PartState.WAITING
        self.child: Child | None = None
        self._log = logs / f"{part.name}.log"
        self._ledger = ledger
        self._say = say
        self._keeper: asyncio.Task[None] | None = None

    @property
    def status(self) -> PartStatus:
        pid = self.child.pid if self.child is not None and not self.child.ended else None
        return PartStatus(self.part.name, pid, self.state.value, self.part.address)

    def _told(self, error: Exception) -> str:
        """The error as it stands behind the part's name."""
        return str(error).removeprefix(f"{self.part.name} ")

    async def start_first(self) -> None:
        """The start at which somebody waits: a few attempts, then `StartFailed`."""
        pause: float | None = None
        for attempt in range(1, FIRST_START_ATTEMPTS + 1):
            try:
                await self._start()
                break
            except StartFailed as error:
                if attempt == FIRST_START_ATTEMPTS:
                    raise
                pause = next_backoff(pause, 0)
                self._say(self.part.name, f"{self._told(error)}\n{'':9}trying again in {pause:g} s")
                await asyncio.sleep(pause)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def _start(self) -> None:
        self.state = PartState.STARTING
        began = time.monotonic()
        notice = asyncio.create_task(self._say_that_it_takes_long())
        try:
            self.child = await bring_up(self.part, self._log, self._started)
        except Exception:
            self._forget()
            raise
        finally:
            notice.cancel()
        self.state = PartState.READY
        self._say(self.part.name, f"ready in {time.monotonic() - began:.1f} s ({self.part.address})")

    def _started(self, child: Child) -> None:
        self.child = child
        self._ledger.add(child)

    def _forget(self) -> None:
        if self.child is not None:
            self._ledger.remove(self.child)
            self.child = None

    async def _say_that_it_takes_long(self) -> None:
        await asyncio.sleep(_PATIENCE_SECONDS)
        self._say(self.part.name, "still starting")

    async def _keep(self) -> None:
        pause: float | None = None
        while True:
            ran_seconds = 0.0
            try:
                if self.child is None:
                    await self._start()
                ran_seconds = await self._see_it_end()
                self.state = PartState.RESTARTING
            except StartFailed as error:
                self.state = PartState.RESTARTING
                self._say(self.part.name, self._told(error))
            except Exception as error:  # of whatever kind: without its keeper the part would never come back
                self.state = PartState.FAILED
                self._say(self.part.name, f"could not be kept running ({_in_words(error)}); trying again")
            pause = next_backoff(pause, ran_seconds)
            await asyncio.sleep(pause)

    async def _see_it_end(self) -> float:
        """Wait for the end of a process that has been ready. Returns for how many seconds it was watched."""
        if self.child is None:
            return 0.0
        self.state = PartState.READY  # also after a failure in watching it, which did it no harm
        began = time.monotonic()
        code = await self.child.wait()
        self._forget()
        self._say(self.part.name, f"ended with exit code {code}")
        return time.monotonic() - began

    async def stop(self, longest_seconds: float) -> None:
        """End the process: politely at first, for the part's grace period or `longest_seconds`. It is not started again.

        Never fails, so that the other parts' turns come: what goes wrong is said, and the process killed.
        """
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        try:
            if self.child is not None:
                self.state = PartState.STOPPING
                await self.child.stop(min(self.part.grace_seconds, longest_seconds))
                self._ledger.remove(self.child)
        except Exception as error:  # of whatever kind
            self._say(self.part.name, f"could not be stopped in order and is killed ({_in_words(error)})")
            self.kill()
        self.state = PartState.STOPPED

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Supervisor:
    """All parts of one stack, in the order in which they start."""

    def __init__(self, parts: Sequence[Part], logs: Path, ledger: Ledger, say: Say = say_on_stderr) -> None:
        self.kept = [KeptPart(part, logs, ledger, say) for part in parts]
        self._hurry = False

    @property
    def status(self) -> list[PartStatus]:
        return [kept.status for kept in self.kept]

    async def start(self) -> None:
        """Start all, one after the other. Raises `StartFailed`; what was started by then is left for `stop`."""
        for kept in self.kept:
            await kept.start_first()

    async def stop_part(self, name: str) -> None:
        """Stop one part, if it is among these, before the others' turn comes."""
        for kept in self.kept:
            if kept.part.name == name:
                await kept.stop(0.0 if self._hurry else _STOP_SECONDS)

    async def stop(self) -> None:
        """Stop all in reverse order, within a bounded time."""
        deadline = time.monotonic() + _STOP_SECONDS
        for kept in reversed(self.kept):
            await kept.stop(0.0 if self._hurry else max(0.2, deadline - time.monotonic()))

    def kill(self) -> None:
        """Stop waiting for anybody: kill all now. `stop` still has to be called (or is under way) to reap them."""
        self._hurry = True
        for kept in self.kept:
            kept.kill()
