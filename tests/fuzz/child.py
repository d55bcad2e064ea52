"""Takes cases one after another, in a process of its own in which opening a file or a socket is death.

    python -m tests.fuzz.child videos|forms SEED FIRST END FOLDER

FOLDER holds the golden clips. Each case is announced by its number and answered by a line of JSON, so that whoever reads them
knows which one a death is of.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.forms import form_case, parsed
from tests.fuzz.reading import read
from tests.fuzz.videos import golden_cases, load_golden, video_case
from vidette_frame_worker.confinement import confine, privileges
from vidette_frame_worker.confinement.syscalls import ALLOWED, EQUAL, LOAD, NUMBER_AT, RETURN, Instruction, install

CASE_S = 20.0
"""Of the processor, for one case; then it is death by SIGPROF."""
MEMORY = 1536 * 2**20
"""RLIMIT_DATA, as a worker has it."""
DEADLY = {
    "open": 2, "openat": 257, "openat2": 437, "creat": 85, "socket": 41, "connect": 42, "execve": 59, "execveat": 322,
    "fork": 57, "vfork": 58, "unlink": 87, "unlinkat": 263, "rename": 82, "mkdir": 83, "stat": 4, "lstat": 6, "access": 21,
    "readlink": 89,
}  # fmt: skip
"""Death by SIGSYS."""
_KILL = Instruction(RETURN, 0x80000000)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a case ended: `code` is that of an error, `frames`, or `defect`; times in seconds, sizes in bytes."""

    case: int
    code: str
    said: str = ""
    seconds: float = 0.0
    peak: int = 0
    """The most memory that was resident meanwhile."""
    resident: int = 0
    """What is afterwards."""


class Memory:
    """The process's own figures, through files that were opened while that was allowed."""

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._libc = ctypes.CDLL(None)

    def begin(self) -> None:
        os.pwrite(self._reset, b"5", 0)  # the peak begins anew

    def figure(self, name: str) -> int:
        lines = os.pread(self._status, 8192, 0).decode().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    def settle(self) -> int:
        """What is still resident when all that was given back is given back to the system too."""
        gc.collect()
        self._libc.malloc_trim(0)
        return self.figure("VmRSS")


def _video(seed: int, number: int) -> tuple[str, str]:
    return read(video_case(seed, number))


def _form(seed: int, number: int) -> tuple[str, str]:
    return parsed(form_case(seed, number)), ""


SUBJECTS: dict[str, Callable[[int, int], tuple[str, str]]] = {"videos": _video, "forms": _form}


def ended(subject: str, seed: int, number: int) -> tuple[str, str]:
    try:
        return SUBJECTS[subject](seed, number)
    except BaseException as error:
        where = [f"{step.filename}:{step.lineno} {step.name}" for step in _steps(error)]
        return "defect", "\n".join([*where, f"{type(error).__name__}: {error}"])


def _steps(error: BaseException) -> list[traceback.FrameSummary]:
    """Without their lines, since no file may be opened here, be it one of source."""
    return list(traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False))


def trap() -> None:
    """From now on, whoever opens anything in this process ends it."""
    if os.uname().machine != "x86_64":
        confine(None)  # then it is only refused, and by Landlock
        return
    privileges.give_up()
    install(_deadly())


def _deadly() -> Iterator[Instruction]:
    yield Instruction(LOAD, NUMBER_AT)
    for number in DEADLY.values():
        yield Instruction(EQUAL, number, skip_else=1)
        yield _KILL
    yield ALLOWED


def run(subject: str, seed: int, first: int, end: int) -> None:
    memory = Memory()
    for case in golden_cases():  # whatever is loaded late is loaded now
        read(case)
    ended(subject, seed, first)
    gc.collect()
    gc.freeze()  # what is loaded stays, and need not be looked at after each case
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    trap()
    for number in range(first, end):
        os.write(1, b"%d\n" % number)
        memory.begin()
        signal.setitimer(signal.ITIMER_PROF, CASE_S)
        begun = time.process_time()
        code, said = ended(subject, seed, number)
        seconds = time.process_time() - begun
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = memory.figure("VmHWM")
        found = Ended(number, code, said, round(seconds, 3), peak, memory.settle())
        os.write(1, json.dumps(asdict(found)).encode() + b"\n")


if __name__ == "__main__":
    load_golden(Path(sys.argv[5]))
    run(sys.argv[1], *map(int, sys.argv[2:5]))
