"""Figures that stand a busy machine: things are timed in turn, A B A B, and what counts is the ratio of each pair."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several values, with the least and the greatest of them."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.least)}–{_short(self.greatest)})"


def interleaved(rounds: int, measures: Mapping[str, Measure]) -> dict[str, list[float]]:
    """Measure everything `rounds` times in turn, so that what slows the machine meets all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
            print(f"round {turn + 1}/{rounds}  {name}: {_short(found[name][-1])}", file=sys.stderr, flush=True)
    return found


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of each round's pair."""
    return Spread.of([top / bottom for top, bottom in zip(above, below, strict=True)])


def report(title: str, rows: Mapping[str, object]) -> None:
    """A table for people, and one line of JSON for programs, on the output stream."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    width = max(len(name) for name in rows)
    print(f"\n{title}  [{machine}]")
    for name, value in rows.items():
        print(f"  {name:<{width}}  {value if isinstance(value, Spread | str) else _short(value)}")
    plain = {name: _plain(value) for name, value in rows.items()}
    print(json.dumps({"title": title, "machine": machine, "figures": plain}, ensure_ascii=False), flush=True)


def _plain(value: object) -> object:
    if isinstance(value, Spread):
        return [round(number, 4) for number in (value.median, value.least, value.greatest)]
    return round(value, 4) if isinstance(value, float) else value


def _short(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
