"""Many cases in several processes, one after another in each: a death ends the process, and the next goes on behind the case."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.child import Ended
from tests.fuzz.forms import form_case
from tests.fuzz.videos import video_case, write_golden

MIB = 2**20
BATCH = 1000
"""Cases read by one process."""
MOST_PEAK = 512 * MIB
"""That may be resident while one case is read. The interpreter with its libraries takes 120 MiB of it."""
MOST_GROWTH = 24 * MIB
"""From the first case of a process to its last. Allocators do not give everything back; what grows with each case is a leak."""
PATIENCE_S = 300.0
"""For one line of a process, on whatever machine; the time of a case itself is measured by its own clock."""
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


@dataclass
class Report:
    """`crashes` are allowed, since they stay in the process; nothing in `wrong` is."""

    codes: Counter[str] = field(default_factory=Counter)
    crashes: dict[int, str] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)
    slowest: Ended = field(default_factory=lambda: Ended(-1, ""))
    largest: Ended = field(default_factory=lambda: Ended(-1, ""))
    growth: int = 0

    @property
    def cases(self) -> int:
        return self.codes.total() + len(self.crashes)

    def take(self, end: Ended) -> None:
        self.codes[end.code] += 1
        self.slowest = max(self.slowest, end, key=lambda each: each.seconds)
        self.largest = max(self.largest, end, key=lambda each: each.peak)
        if end.code == "defect":
            self.wrong[end.case] = end.said
        elif end.peak > MOST_PEAK:
            self.wrong[end.case] = f"took {end.peak / MIB:.0f} MiB"

    def take_death(self, case: int, number: signal.Signals) -> None:
        if number in _CRASHES:
            self.crashes[case] = number.name
            return
        told = {signal.SIGSYS: "opened something", signal.SIGPROF: "did not end in time"}
        self.codes["death"] += 1
        self.wrong[case] = f"{number.name}: {told.get(number, 'died')}"

    def take_growth(self, first: int, last: int, grown: int) -> None:
        self.growth = max(self.growth, grown)
        if grown > MOST_GROWTH:
            self.wrong[first] = f"cases {first} to {last} left {grown / MIB:.0f} MiB behind"

    def text(self) -> str:
        lines = [f"{self.cases} cases: {dict(self.codes.most_common())}, crashes: {self.crashes or 'none'}"]
        lines += [f"slowest: case {self.slowest.case}, {self.slowest.seconds:.2f} s of the processor"]
        lines += [f"largest: case {self.largest.case}, {self.largest.peak / MIB:.0f} MiB resident"]
        lines += [f"most left behind by a process of {BATCH} cases: {self.growth / MIB:.1f} MiB"]
        lines += [f"WRONG, case {case}: {what}" for case, what in sorted(self.wrong.items())]
        return "\n".join(lines)


def fuzz(subject: str, seed: int, cases: range, *, processes: int = 2, keep: Path | None = None) -> Report:
    """`keep`: a folder for the cases that crashed or went wrong."""
    report = Report()
    starts = range(cases.start, cases.stop, BATCH)
    with TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        write_golden(Path(folder))
        read = partial(_batch, subject, Path(folder), seed, cases.stop)
        for batch in pool.map(read, starts):
            for event in batch:
                event(report)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for case in {**report.crashes, **report.wrong}:
            (keep / f"{subject}-{seed}-{case}").write_bytes(content(subject, seed, case))
    return report


def content(subject: str, seed: int, case: int) -> bytes:
    """What is sent or read."""
    return video_case(seed, case).data if subject == "videos" else form_case(seed, case).body


def _batch(subject: str, folder: Path, seed: int, stop: int, first: int) -> list[_Event]:
    events: list[_Event] = []
    end = min(first + BATCH, stop)
    while first < end:
        ends, under_way, status, said = _process(subject, folder, seed, first, end)
        events += [_Took(each) for each in ends]
        if len(ends) > 1:
            events += [_Grew(ends[0].case, ends[-1].case, ends[-1].resident - ends[0].resident)]
        if status == 0:
            return events
        if under_way is None or status > 0:
            raise RuntimeError(f"the process for cases from {first} on ended with {status}: {said}")
        events += [_Died(under_way, signal.Signals(-status))]
        first = under_way + 1
    return events


def _process(subject: str, folder: Path, seed: int, first: int, end: int) -> tuple[list[Ended], int | None, int, str]:
    """The ends of the cases, the case that was under way when the process ended, and how it ended."""
    command = [sys.executable, "-m", "tests.fuzz.child", subject, str(seed), str(first), str(end), str(folder)]
    # One arena: when that of another thread shrinks, glibc opens /proc/sys/vm/overcommit_memory (measured).
    variables = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    ran = subprocess.run(command, env=variables, capture_output=True, timeout=PATIENCE_S + end - first, check=False)
    ends, under_way = [], None
    for line in ran.stdout.splitlines():
        told = json.loads(line)
        if isinstance(told, int):
            under_way = told
        else:
            ends.append(Ended(**told))
            under_way = None
    return ends, under_way, ran.returncode, ran.stderr.decode(errors="replace")[-2000:]


@dataclass(frozen=True, slots=True)
class _Took:
    end: Ended

    def __call__(self, report: Report) -> None:
        report.take(self.end)


@dataclass(frozen=True, slots=True)
class _Grew:
    first: int
    last: int
    grown: int

    def __call__(self, report: Report) -> None:
        report.take_growth(self.first, self.last, self.grown)


@dataclass(frozen=True, slots=True)
class _Died:
    case: int
    by: signal.Signals

    def __call__(self, report: Report) -> None:
        report.take_death(self.case, self.by)


_Event = _Took | _Grew | _Died
