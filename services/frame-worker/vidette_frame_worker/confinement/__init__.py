"""What a worker gives up before it reads a stranger's video: a decoder that was taken over is to find nothing worth taking.

`confine` is called once, by the process's only thread, before NumPy starts its own: Landlock holds for a thread and for those
that it starts. What a kernel does not have is told of and left out; `docs/adr/0023` says what holds where.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from vidette_frame_worker.confinement import landlock, privileges, syscalls
from vidette_frame_worker.confinement.kernel import Unsupported
from vidette_frame_worker.confinement.paths import readable_paths

ON = "on"
OPEN_FILES = 256
"""Descriptors: a worker has about thirty."""


def confine(metrics_port: int | None) -> dict[str, str]:
    """Each step, with `ON` or why it could not be taken. None of them can be taken back."""
    steps: dict[str, Callable[[], None]] = {
        "limits": _limit,
        "no_new_privileges": privileges.give_up,
        "landlock": lambda: landlock.restrict(readable_paths(), metrics_port),
        "seccomp": syscalls.forbid,
    }
    if (threads := len(list(Path("/proc/self/task").iterdir()))) != 1:
        return dict.fromkeys(steps, f"too late: {threads} threads run already, and it does not hold for all of them")
    return {name: _taken(step) for name, step in steps.items()}


def _taken(step: Callable[[], None]) -> str:
    try:
        step()
    except Unsupported as error:
        return str(error)
    except OSError as error:
        return f"refused ({error.strerror})"
    return ON


def _limit() -> None:
    """No core file of what a video made of the memory. Files are not bounded: a log may be one, and there is no other."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


__all__ = ["ON", "OPEN_FILES", "confine"]
