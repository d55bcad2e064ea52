"""One process of the stack: how it is started, watched and stopped so that nothing of it is ever left behind.

Every child leads a session of its own (a Ctrl-C in the terminal reaches the supervisor alone) and is killed by the kernel
when the thread that started it dies, so children are started from the main thread only.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vidette_local.privileges import GUARD, KEEP, demotion
from vidette_local.procfs import start_ticks

_LOOK_SECONDS = 0.2
_EXEC_CHILD = Path(__file__).with_name("exec_child.py")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `env` is the whole environment and holds secrets, so it is kept out of every representation.

    `unprivileged` is for programs that refuse to run as root, `guarded` for those whose own children would outlive them.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    unprivileged: bool = False
    guarded: bool = False
    stop_signal: signal.Signals = signal.SIGTERM


def exec_argv(argv: Sequence[str], *, unprivileged: bool = False, guarded: bool = False) -> list[str]:
    """`argv` behind the wrapper that ties the process to this one and, where asked, drops root or adds the guard."""
    mode = demotion() if unprivileged else GUARD if guarded else KEEP
    return [sys.executable, "-I", "-S", str(_EXEC_CHILD), str(os.getpid()), mode, "--", *argv]


class Child:
    """A running process. Exit codes are the shell's: a death by signal s is 128 + s."""

    def __init__(self, process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
        self._process = process
        self.stop_signal = stop_signal
        self._reaped: int | None = None
        self.pid = process.pid
        # Together with the pid this names the process for ever; a recycled pid has another start time.
        self.started_ticks = start_ticks(process.pid)

    @classmethod
    def start(cls, command: Command, log: Path) -> Child:
        """Start `command` with its output appended to `log`. Raises `OSError` when the interpreter cannot be started."""
        # Append mode, because the log is emptied under the writer when it grows; private, because nobody checked every line.
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as output:
            process = subprocess.Popen(
                exec_argv(command.argv, unprivileged=command.unprivileged, guarded=command.guarded),
                cwd=command.cwd,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, command.stop_signal)

    @property
    def ended(self) -> bool:
        """Whether the process has ended. The process is not reaped by asking, so its pid stays its own."""
        if self._reaped is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def signal(self, number: signal.Signals) -> None:
        """Signal the process itself; nothing happens when it has ended."""
        if not self.ended:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the process and everything else in its group."""
        if self._reaped is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end, sweep up what is left of the group, and return the exit code."""
        while not self.ended:
            try:
                await self._readable_pidfd()
            except OSError:  # there are no descriptors left: look now and then instead
                await asyncio.sleep(_LOOK_SECONDS)
        return self._reap()

    async def stop(self, grace_seconds: float) -> int:
        """Ask politely, wait `grace_seconds`, then kill. Returns the exit code."""
        self.signal(self.stop_signal)
        with suppress(TimeoutError):
            return await asyncio.wait_for(self.wait(), grace_seconds)
        self.kill()
        return await self.wait()

    def stop_blocking(self, grace_seconds: float) -> int:
        """The same as `stop` for callers without an event loop."""
        self.signal(self.stop_signal)
        deadline = time.monotonic() + grace_seconds
        while not self.ended and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()
        return self._reap()

    async def _readable_pidfd(self) -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        descriptor = os.pidfd_open(self.pid)
        try:
            loop.add_reader(descriptor, over.set)
            await over.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _reap(self) -> int:
        if self._reaped is None:
            # While the leader is a zombie its group number cannot belong to anybody else.
            self.kill()
            code = self._process.wait()
            self._reaped = 128 - code if code < 0 else code
        return self._reaped
