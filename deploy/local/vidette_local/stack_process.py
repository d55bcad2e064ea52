"""The stack as a child process, for demos and tests that want the real thing: `vidette up`, its `ready` line, its signals."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidette_local import control
from vidette_local.home import Home

UP = (sys.executable, "-m", "vidette_local", "up")


class StackDidNotStart(Exception):
    """`vidette up` ended, or said nothing of `ready` in time. `exit_code` is None in the second case."""

    def __init__(self, exit_code: int | None, said: str) -> None:
        self.exit_code = exit_code
        self.said = said
        super().__init__(f"the stack did not start (exit code {exit_code}): {said}")


class StackProcess:
    """`vidette up` in a session of its own. Leaving the block stops it, politely at first.

    Args:
        home: the state folder.
        variables: `VIDETTE_…` and other variables laid over this process's environment.
        start_seconds: how long to wait for `ready`; a first start on a new machine makes Triton's environment.
        messages: where the stack's own lines go (its error stream).
        argv: another program that behaves like `vidette up`.
    """

    def __init__(
        self,
        home: Path,
        variables: Mapping[str, str] | None = None,
        *,
        start_seconds: float = 180.0,
        messages: Path | None = None,
        argv: Sequence[str] = UP,
    ) -> None:
        self.home = Home(home.absolute())
        self.messages = messages or home.absolute().with_name(f"{home.name}.messages")
        self._argv = list(argv)
        self._variables = dict(variables or {})
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the stack was not started")
        return self._process

    def start(self) -> None:
        """Start and wait for `ready`. Raises `StackDidNotStart`; then `stop` is still to be called."""
        self.launch()
        self.url = self.wait_ready()

    def launch(self) -> None:
        """Start without waiting."""
        self.messages.parent.mkdir(parents=True, exist_ok=True)
        with self.messages.open("ab") as messages:
            self._process = subprocess.Popen(
                self._argv,
                env={**os.environ, "VIDETTE_HOME": str(self.home.path), **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                start_new_session=True,
            )

    def wait_ready(self) -> str:
        """Wait for the `ready` line and return its URL. Raises `StackDidNotStart`."""
        output = self._running.stdout
        if output is None:
            raise RuntimeError("the stack's output was not captured")
        deadline = time.monotonic() + self._start_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if not selector.select(left):
                    break
                line = output.readline().decode()
                if line.startswith("ready "):
                    return line.removeprefix("ready ").strip()
                if not line:
                    raise StackDidNotStart(self._running.wait(timeout=30), self.said())
        raise StackDidNotStart(None, self.said())

    def said(self) -> str:
        """The stack's own lines so far."""
        return self.messages.read_text() if self.messages.exists() else ""

    def ps(self) -> list[dict[str, Any]]:
        """What `vidette ps` prints."""
        return control.ps(self.home)

    def part(self, name: str) -> dict[str, Any]:
        """One line of `ps`. Raises `KeyError` when there is no such part or worker."""
        for line in self.ps():
            if line["name"] == name:
                return line
        raise KeyError(name)

    def kill_part(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one part or worker, as an accident would; returns the pid it had. Raises `KeyError`."""
        pid = self.part(name)["pid"]
        if pid is None:
            raise KeyError(name)
        os.kill(pid, number)
        return int(pid)

    def send(self, number: signal.Signals) -> None:
        """Signal the supervisor."""
        self._running.send_signal(number)

    def wait(self, limit_seconds: float = 30.0) -> int:
        """The supervisor's exit code: negative for a death by signal. Raises `subprocess.TimeoutExpired`."""
        return self._running.wait(timeout=limit_seconds)

    def stop(self, limit_seconds: float = 30.0) -> int | None:
        """Stop with SIGTERM, then SIGKILL after the limit; returns the exit code, or None when it was never started."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code
