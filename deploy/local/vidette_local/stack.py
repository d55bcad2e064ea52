"""The embedded stack as a whole: puts the parts together in one state folder and runs them in this process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from vidette_local import credentials, environment, leftovers, logs, ports
from vidette_local.assembly import PORT_NAMES, assemble
from vidette_local.disk import DiskWatch
from vidette_local.home import Home
from vidette_local.jobs.cluster import Cluster, WorkerTemplate
from vidette_local.jobs.server import application, serving
from vidette_local.parts.triton import TritonPart
from vidette_local.say import Say, say_on_stderr
from vidette_local.settings import LocalSettings, PartName, bypass_proxies, machine_environment
from vidette_local.supervisor import PartState, PartStatus, Supervisor
from vidette_local.triton_runtime import sweep_shared_memory
from vidette_local.triton_watch import TritonWatch

WORKER = (sys.executable, "-m", "vidette_frame_worker")
_WORKER_STOP_SECONDS = 4.0
_PORTS_TRIED = 100


class PortTaken(Exception):
    """Somebody else listens where clients should find the API."""

    def __init__(self, port: int) -> None:
        free = first_free_port(port + 1)
        choice = "with VIDETTE_HTTP_PORT" if free is None else f"one that is free now: VIDETTE_HTTP_PORT={free} make up"
        super().__init__(f"port {port} on 127.0.0.1 is taken by another program. Choose another, {choice}")


def first_free_port(lowest: int) -> int | None:
    """`lowest`, or the next port above it that is free; None when a hundred are taken."""
    candidates = range(lowest, min(lowest + _PORTS_TRIED, 65536))
    return next((port for port in candidates if ports.is_free(port)), None)


class Stack:
    """All parts, for the length of an `async with`; it must be entered in the main thread.

    Entering raises `HomeInUse`, `HomeUnusable` or `PortTaken` before anything is started, and `StartFailed` when a part does
    not come up, with everything stopped again.
    """

    def __init__(self, settings: LocalSettings, say: Say = say_on_stderr, worker: tuple[str, ...] = WORKER) -> None:
        self.settings = settings
        self.home = Home(settings.home)
        self._say = say
        self._worker = worker
        self._held = ExitStack()
        self._running = AsyncExitStack()
        self._supervisor: Supervisor | None = None
        self._cluster: Cluster | None = None

    @property
    def url(self) -> str:
        """Where clients find the API."""
        return self.settings.url

    @property
    def parts(self) -> list[PartStatus]:
        """The parts in order, then the running workers."""
        parts = self._supervisor.status if self._supervisor is not None else []
        return [*parts, *(self._cluster.status if self._cluster is not None else [])]

    async def __aenter__(self) -> Self:
        # Here and not in the commands: whoever runs a stack probes its parts from this process, by gRPC too.
        bypass_proxies()
        self._reserve()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _reserve(self) -> None:
        """Everything that can refuse a start, before anything is started."""
        self.home.make()
        self._held.enter_context(self.home.hold())
        try:
            reaped = leftovers.reap(self.home)
            if reaped:
                self._say("stack", f"killed {reaped} processes that an earlier run left behind")
            if PartName.API in self.settings.parts and not ports.is_free(self.settings.http_port):
                raise PortTaken(self.settings.http_port)
        except BaseException:
            self._held.close()
            raise

    async def _start(self) -> None:
        home, machine = self.home, machine_environment()
        secrets = credentials.load_or_make(home.secrets)
        picked = ports.load_or_pick(home.path / "ports.json", PORT_NAMES)
        ledger = leftovers.Ledger(home.processes, self._say)
        template = WorkerTemplate(
            argv=self._worker,
            environment=environment.worker_environment(machine, home.stack_id),
            folder=home.path,
            logs=home.logs,
        )
        self._cluster = Cluster(template, ledger, self._say)
        parts = assemble(self.settings, home, picked, secrets)
        self._supervisor = Supervisor(parts, home.logs, ledger, self._say)
        await self._running.enter_async_context(serving(application(self._cluster, lambda: self.parts), home.socket))
        self._in_background(logs.keep_bounded(home.logs), "logs")
        self._in_background(DiskWatch(home.path, self._say).run(), "disk watch")
        await self._supervisor.start()
        for part in parts:
            if isinstance(part, TritonPart):
                watch = TritonWatch(
                    part.address,
                    part.control_secret,
                    part.catalog,
                    self._say,
                    self._restart_triton,
                    runs=self._triton_is_ready,
                )
                self._in_background(watch.run(), "triton watch")
                self._running.callback(sweep_shared_memory, part.stack_id)

    def _restart_triton(self) -> None:
        with suppress(KeyError):  # it does not run, so the supervisor is at it already
            self.kill(PartName.TRITON)

    def _triton_is_ready(self) -> bool:
        return any(status.name == PartName.TRITON and status.state == PartState.READY for status in self.parts)

    def _in_background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._running.callback(task.cancel)

    async def stop(self) -> None:
        """Stop everything in reverse order; at most half a minute. Nothing happens when nothing runs."""
        supervisor, cluster = self._supervisor, self._cluster
        try:
            if supervisor is not None and cluster is not None:
                await supervisor.stop_part(PartName.CONTROLLER)
                await cluster.stop(_WORKER_STOP_SECONDS)
                await supervisor.stop()
                self.home.processes.unlink(missing_ok=True)
        finally:
            self._supervisor = self._cluster = None
            await self._running.aclose()
            self._held.close()

    def kill_all(self) -> None:
        """Make an orderly stop short: whoever still runs is killed. `stop` must be under way or follow."""
        if self._supervisor is not None:
            self._supervisor.kill()
        if self._cluster is not None:
            self._cluster.kill()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal one part or worker, as an accident would. Raises `KeyError` when it does not run."""
        for status in self.parts:
            if status.name == name and status.pid is not None:
                os.kill(status.pid, number)
                return
        raise KeyError(name)
