"""Carries out one fault: whom it strikes is looked up when its time has come, and noted. Nobody there is noted too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.chaos.history import History, What
from tests.chaos.place import Place
from tests.chaos.schedule import Fault, Mode, Target
from tests.support import tcp_proxy
from tests.support.processes import stack_processes, wait_until
from tests.support.stacks import free_port
from tests.support.ways import Way
from vidette_local.control import NoAnswer

_LOOK_FOR_S = 6.0
"""For a worker: between two jobs there is none."""
_MENDINGS = 12


class Nobody(Exception):
    """There was nobody to strike."""


class Saboteur:
    """May strike from several threads at once; only `STACK` must be alone with the supervisor, and locks it by its nature."""

    def __init__(self, place: Place, history: History, folder: Path) -> None:
        self._place = place
        self._history = history
        self._folder = folder

    def strike(self, fault: Fault) -> None:
        """Returns when the fault is over."""
        try:
            with self._struck(fault) as met:
                facts = {"target": fault.target, "mode": fault.mode, "seconds": fault.seconds, "met": met}
                self._history.note(What.FAULT, name=fault.name, **facts)
                time.sleep(fault.seconds)
        except (Nobody, NoAnswer, psutil.NoSuchProcess) as reason:
            self._history.note(What.FAULT, name=fault.name, target=fault.target, mode=fault.mode, met="", why=reason)
        else:
            self._history.note(What.HEALED, name=fault.name, target=fault.target)

    @contextmanager
    def _struck(self, fault: Fault) -> Iterator[str]:
        """In force inside; yields whom it struck."""
        if isinstance(fault.target, Way):
            way = self._place.ways[fault.target]
            try:
                way.be(tcp_proxy.Mode(fault.mode))
                yield fault.target
            finally:
                _mend(way)
        elif fault.target is Target.STACK:
            yield self._kill_the_stack()
        elif fault.mode is Mode.MORE:
            with self._more_controllers(fault.which):
                yield f"{fault.which} more"
        else:
            name, process = self._victim(fault)
            with self._hit(fault, process):
                yield f"{name} ({process.pid})"

    @contextmanager
    def _hit(self, fault: Fault, process: psutil.Process) -> Iterator[None]:
        match fault.mode:
            case Mode.FREEZE:
                with _frozen(process):
                    yield
                return
            case Mode.END:
                # SIGTERM has PostgreSQL wait for its clients to leave; SIGINT is how it is stopped.
                process.send_signal(signal.SIGINT if fault.target is Target.POSTGRES else signal.SIGTERM)
            case Mode.WIPE:
                shutil.rmtree(self._place.home.nats, ignore_errors=True)
                process.kill()
            case _:
                process.kill()
        yield

    def _victim(self, fault: Fault) -> tuple[str, psutil.Process]:
        prefix = "worker-" if fault.target is Target.WORKER else str(fault.target)
        deadline = time.monotonic() + _LOOK_FOR_S
        while True:
            there = [line for line in self._place.stack.ps() if line["name"].startswith(prefix) and line["pid"]]
            if there:
                line = there[fault.which % len(there)]
                return str(line["name"]), psutil.Process(line["pid"])
            if time.monotonic() > deadline:
                raise Nobody(f"no {fault.target} runs")
            time.sleep(0.05)

    def _kill_the_stack(self) -> str:
        """Everything at once, with kill -9; then it is started again."""
        stack = self._place.stack
        victims = (stack.pid, *stack_processes(self._place.home.path))
        for pid in victims:
            with suppress(ProcessLookupError):  # the kernel has killed it when its supervisor died
                os.kill(pid, signal.SIGKILL)
        stack.wait()
        wait_until(lambda: stack_processes(self._place.home.path) == [], 20, "no process of the stack is left")
        stack.start()
        return f"{len(victims)} processes"

    @contextmanager
    def _more_controllers(self, count: int) -> Iterator[None]:
        """Beside the stack's own, with its environment and an operations port of their own."""
        _, own = self._victim(Fault(0, Target.CONTROLLER, Mode.MORE))
        environment, children = own.environ(), []
        try:
            for _ in range(count):
                with (self._folder / "more-controllers.log").open("ab") as output:
                    variables = {**environment, "VIDETTE_OPS_PORT": str(free_port())}
                    command = [sys.executable, "-m", "vidette_controller"]
                    children.append(subprocess.Popen(command, env=variables, stderr=output, stdout=output))
            time.sleep(2)  # until they do something
            yield
        finally:
            for child in children:
                child.terminate()
            for child in children:
                _reap(child)


def _mend(way: tcp_proxy.TcpProxy) -> None:
    """A machine that stands still for seconds must not leave the way as it was."""
    for _ in range(_MENDINGS):
        with suppress(TimeoutError):
            way.be(tcp_proxy.Mode.PASS)
            return
    raise TimeoutError("the proxy does not answer")


def _reap(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(timeout=10)


@contextmanager
def _frozen(process: psutil.Process) -> Iterator[None]:
    """The process and all its children stand still inside. `psutil` signals none that has taken the pid of another."""
    stopped = [process, *process.children(recursive=True)]
    try:
        for one in stopped:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        yield
    finally:
        for one in stopped:
            with suppress(psutil.NoSuchProcess):
                one.resume()
