"""The few things read from /proc: who a process is, beyond a pid that may be recycled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_STARTTIME_FIELD = 22  # proc_pid_stat(5), counted from 1
_STATE_FIELD = 3
_PARENT_FIELD = 4
_GROUP_FIELD = 5


def _stat_fields(pid: int) -> list[str]:
    text = (_PROC / str(pid) / "stat").read_text()
    # The second field is the name in parentheses and may hold spaces and parentheses of its own.
    return text[text.rindex(")") + 2 :].split()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process."""
    try:
        return int(_stat_fields(pid)[_STARTTIME_FIELD - 3])
    except (OSError, ValueError, IndexError):
        return None


def alive(pid: int, ticks: int) -> bool:
    """Whether this very process (not another one with its pid) still runs; a zombie does not."""
    try:
        return start_ticks(pid) == ticks and _stat_fields(pid)[_STATE_FIELD - 3] not in ("Z", "X")
    except (OSError, ValueError, IndexError):
        return False


def boot_id() -> str:
    """Changes with every boot: pids and ticks recorded under another one mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def pids() -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def environment(pid: int) -> dict[str, str]:
    """What the process was started with, or nothing when it cannot be read. Programs may have overwritten it."""
    try:
        raw = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if "=" in item)
    return {name: value for name, _, value in pairs}


def program(pid: int) -> Path | None:
    try:
        return (_PROC / str(pid) / "exe").readlink()
    except OSError:
        return None


def working_directory(pid: int) -> Path | None:
    try:
        return (_PROC / str(pid) / "cwd").readlink()
    except OSError:
        return None


def children(parent: int) -> list[int]:
    """The pids of the process's living children."""
    found = []
    for pid in pids():
        with suppress(OSError, ValueError, IndexError):
            if int(_stat_fields(pid)[_PARENT_FIELD - 3]) == parent:
                found.append(pid)
    return found


def group(pid: int) -> int | None:
    """The process's group; None when there is no such process."""
    try:
        return int(_stat_fields(pid)[_GROUP_FIELD - 3])
    except (OSError, ValueError, IndexError):
        return None
