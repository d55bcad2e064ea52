"""The recorded history of an episode: one JSON line for each thing that was done or seen, by whom, and when.

`at` is on the monotonic clock, seconds after the episode's start: what came before what. `wall` is the time of day, to be held
against the database's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class What(StrEnum):
    """The kinds of lines, each with the facts that it carries. `number` names one attempt to send something."""

    FAULT = "fault"
    """A fault began: `name`, `target`, `seconds`, `met` (whom it struck; empty when nobody was there)."""
    HEALED = "healed"
    """A fault is over: `name`, `target`."""
    SENT = "sent"
    """A client begins to send: `number`, `kind`, `work`, `max_workers`, `bytes` of the film."""
    ACCEPTED = "accepted"
    """It was told a job's id: `number`, `job`."""
    REFUSED = "refused"
    """It was told anything else, or nothing: `number`, `kind`, `status`, `code`, `detail`."""
    CANCELLING = "cancelling"
    """A client is about to cancel: `number`, `job`."""
    CANCELLED = "cancelled"
    """It was told that the job shall end: `number`, `job`."""
    NOT_CANCELLED = "not_cancelled"
    """It was told anything else: `number`, `job`, `status`, `code`, `detail`."""
    STATUS = "status"
    """A client read a status that differs from the one before: `job`, `state`, `progress`, `code`."""
    TROUBLE = "trouble"
    """A client was told to come again, or worse: `job`, `doing`, `status`, `code`, `detail`."""
    RESULTS = "results"
    """A client read all results: `job`, `rows`, `digest`."""
    PROCESSES = "processes"
    """Who runs: `parts`, by name."""
    UNSETTLED = "unsettled"
    """The episode waited for something in vain: `waited_for`."""
    BROKEN = "broken"
    """The run itself met an error that nobody foresaw: `doing`, `error`."""
    PHASE = "phase"
    """`name` begins."""


@dataclass(frozen=True, slots=True)
class Event:
    at: float
    wall: float
    what: What
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


class History:
    """Appends to a file, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._file = path.open("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()

    def begin(self) -> None:
        """Times are counted from here on."""
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def note(self, what: What, **facts: Any) -> None:
        with self._lock:
            if self._file.closed:  # a client that gave up too late to matter
                return
            line = {"at": round(self.now, 3), "wall": round(time.time(), 3), "what": what, **facts}
            self._file.write(json.dumps(line, default=str) + "\n")
            self._file.flush()


def read(path: Path) -> Iterator[Event]:
    for line in path.read_text().splitlines():
        facts = json.loads(line)
        yield Event(facts.pop("at"), facts.pop("wall"), What(facts.pop("what")), facts)
