"""Processes of an earlier run that outlived it: written down while they run, found and killed at the next start.

The kernel kills every child when its supervisor dies; this is for what escapes that (a grandchild, a machine under stress).
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidette_local import procfs
from vidette_local.child import Child
from vidette_local.environment import STACK
from vidette_local.home import Home, write_private
from vidette_local.parts.postgres import processes_of
from vidette_local.say import Say, say_on_stderr

_GONE_SECONDS = 5.0


class Ledger:
    """The running processes of one stack, on disk. A pid is written with its start time, so that it names one process.

    It is the second line of defence. Where it cannot be written (a full disk) that is said, and the stack goes on without.
    """

    def __init__(self, path: Path, say: Say = say_on_stderr) -> None:
        self._path = path
        self._say = say
        self._running: dict[int, int] = {}

    def add(self, child: Child) -> None:
        if child.started_ticks is not None:
            self._running[child.pid] = child.started_ticks
            self._write()

    def remove(self, child: Child) -> None:
        if self._running.pop(child.pid, None) is not None:
            self._write()

    def _write(self) -> None:
        try:
            write_private(self._path, json.dumps({"boot": procfs.boot_id(), "processes": self._running}))
        except OSError as error:
            self._say(
                "stack",
                f"{self._path} cannot be written ({error.strerror}): should processes of this run outlive it, only their"
                " environment tells them. Make room on the disk.",
            )


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    ticks: int


def recorded(path: Path) -> list[Process]:
    """The processes that an earlier run wrote down and that still run; none after a reboot or without a readable file."""
    try:
        content = json.loads(path.read_text())
        if content["boot"] != procfs.boot_id():
            return []
        known = [Process(int(pid), int(ticks)) for pid, ticks in content["processes"].items()]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []
    return [process for process in known if procfs.alive(process.pid, process.ticks)]


def marked(home: Home) -> list[Process]:
    """Living processes that carry this state folder's mark in their environment, or are its PostgreSQL.

    PostgreSQL writes over its environment to show its state in `ps`, but its working folder is the cluster's.
    """
    sessions = set(processes_of(home.postgres / "data"))
    found = []
    for pid in procfs.pids():
        ticks = procfs.start_ticks(pid)
        if ticks is None or pid == os.getpid() or not procfs.alive(pid, ticks):
            continue
        if procfs.environment(pid).get(STACK) == home.stack_id or pid in sessions:
            found.append(Process(pid, ticks))
    return found


def reap(home: Home) -> int:
    """Kill what an earlier run left behind and wait until it is gone. Returns how many there were.

    To be called by the holder of the state folder's lock, before anything is started.
    """
    victims = {*recorded(home.processes), *marked(home)}
    for victim in victims:
        if procfs.alive(victim.pid, victim.ticks):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(victim.pid, signal.SIGKILL)
    deadline = time.monotonic() + _GONE_SECONDS
    while any(procfs.alive(victim.pid, victim.ticks) for victim in victims) and time.monotonic() < deadline:
        time.sleep(0.02)
    home.processes.unlink(missing_ok=True)
    return len(victims)
