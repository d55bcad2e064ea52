"""`vidette up`: the stack in the foreground until a signal ends it, and what its exit codes mean."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from enum import IntEnum

from vidette_local import procfs
from vidette_local.home import HomeInUse, HomeUnusable
from vidette_local.parts.part import StartFailed
from vidette_local.say import say_on_stderr
from vidette_local.settings import LocalSettings
from vidette_local.stack import WORKER, PortTaken, Stack


class UpExit(IntEnum):
    """How `vidette up` ends."""

    STOPPED = 0  # by SIGTERM, which is what `vidette down` sends
    PART_FAILED = 1  # a part did not come up; everything is stopped again
    REFUSED = 2  # the state folder is in use or unusable, or the port is taken; nothing was started
    HANGUP = 129  # the terminal went away, after an orderly stop
    INTERRUPTED = 130  # Ctrl-C, after an orderly stop


_EXIT_OF = {
    signal.SIGTERM: UpExit.STOPPED,
    signal.SIGINT: UpExit.INTERRUPTED,
    signal.SIGHUP: UpExit.HANGUP,
}


class _Signals:
    """The first signal asks for an orderly stop, a second one for a quick one."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._first: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        for number in _EXIT_OF:
            asyncio.get_running_loop().add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        if self._first.done():
            say_on_stderr("stack", "killing what still runs")
            self._stack.kill_all()
        else:
            say_on_stderr("stack", "stopping")
            self._first.set_result(number)

    async def first(self) -> signal.Signals:
        return await asyncio.shield(self._first)


async def _up(settings: LocalSettings, worker: tuple[str, ...]) -> int:
    stack = Stack(settings, worker=worker)
    signals = _Signals(stack)
    start = asyncio.create_task(stack.__aenter__(), name="start")
    ended = asyncio.create_task(signals.first(), name="signals")
    try:
        await asyncio.wait({start, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            with suppress(asyncio.CancelledError):
                await start
            return _EXIT_OF[await ended]
        start.result()
        with suppress(OSError):  # whoever started the stack may not want to read
            print(f"ready {stack.url}", flush=True)
        return _EXIT_OF[await ended]
    finally:
        ended.cancel()
        await stack.stop()
        kill_children()


def kill_children() -> None:
    """End what is not a part: a package installation that an impatient user interrupted."""
    for pid in procfs.children(os.getpid()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def up(settings: LocalSettings, worker: tuple[str, ...] = WORKER) -> int:
    """Run the stack until a signal ends it. Prints `ready URL` on the output stream once jobs can run; see `UpExit`.

    `worker` is the program that analyses videos.
    """
    try:
        code = asyncio.run(_up(settings, worker))
    except (HomeInUse, HomeUnusable, PortTaken) as refusal:
        print(refusal, file=sys.stderr)
        return UpExit.REFUSED
    except StartFailed as failure:
        print(failure, file=sys.stderr)
        return UpExit.PART_FAILED
    say_on_stderr("stack", "stopped")
    return code
