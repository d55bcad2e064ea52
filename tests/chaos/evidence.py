"""What the checker judges: the history, the fault-free results, and all that is left when the episode is over. All frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter

from tests.chaos.history import Event, What, read

_SURE = {"unreachable", "too_many_uploads", "store_unavailable"}
"""Codes of refusals, besides those of the 400s, behind which there can be no job."""
_LATE_S = 20.0
"""A request may come out of a way that hung after its client has given up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended as its client can read it: `rows` and the `digest` of their lines are there when it completed."""

    state: str
    code: str = ""
    rows: int = 0
    digest: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job's row. Times are seconds of the day's clock; `submitted` says whether the upload became a job."""

    id: str
    state: str
    submitted: bool
    created: float
    finished: float | None
    swept: bool
    stride: int
    max_frames: int
    max_workers: int
    code: str = ""
    message: str = ""
    frames: int | None = None
    """Counted at the end: ok, decode errors and model errors together."""
    source_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SegmentRow:
    job: str
    index: int
    state: str
    first: int
    next: int
    end: int | None


@dataclass(frozen=True, slots=True)
class ChunkRow:
    job: str
    first: int
    frames: int
    bytes: int
    key: str


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt to submit, and when its client began and heard of an end, by the day's clock."""

    number: str
    work: str
    max_workers: int
    bytes: int
    began: float
    ended: float = float("inf")

    def fits(self, job: JobRecord) -> bool:
        """Whether the job can be of this: by its parameters, its size, and when its upload began."""
        _, stride, max_frames = self.work.rsplit("/", 2)
        asked = int(stride), int(max_frames), self.max_workers, self.bytes
        in_time = self.began - 1.0 <= job.created <= self.ended + _LATE_S
        return in_time and asked == (job.stride, job.max_frames, job.max_workers, job.source_bytes)


@dataclass(frozen=True)
class Evidence:
    """`expected` by the work's name; `calm` are the outcomes that a client read when all was over, by job.

    `objects` are sizes by key; `launched` are the jobs of which the launcher says that a worker still runs; `processes` are those
    that ran when all jobs had ended and had no business any more, and `survivors` those that outlived the stack. `outcries` are
    lines of the services' logs that tell of an error which nobody foresaw.
    """

    events: tuple[Event, ...]
    expected: Mapping[str, Outcome]
    jobs: tuple[JobRecord, ...]
    segments: tuple[SegmentRow, ...]
    chunks: tuple[ChunkRow, ...]
    objects: Mapping[str, int]
    uploads: tuple[str, ...]
    launched: tuple[str, ...]
    processes: tuple[str, ...]
    survivors: tuple[str, ...]
    outcries: tuple[str, ...]
    calm: Mapping[str, Outcome]

    def of(self, *kinds: What) -> Iterator[Event]:
        return (event for event in self.events if event.what in kinds)

    @cached_property
    def senders(self) -> Mapping[str, Sent]:
        """Who sent which job: told by the answer where there was one, else by what fits. Jobs that nobody can have sent are not
        in it."""
        sent = {
            event["number"]: Sent(event["number"], event["work"], event["max_workers"], event["bytes"], event.wall)
            for event in self.of(What.SENT)
            if event["kind"] == "submit"
        }
        found = {event["job"]: sent.pop(event["number"]) for event in self.of(What.ACCEPTED) if event["number"] in sent}
        for event in self.of(What.REFUSED):
            known = sent.pop(event["number"], None)
            if known is not None and _leaves_doubt(event):
                sent[known.number] = replace(known, ended=event.wall)
        for job in self.jobs:
            if job.submitted and job.id not in found:
                # Those that fit one job are the same to all rules; each makes one job at most.
                fitting = sorted((one for one in sent.values() if one.fits(job)), key=lambda one: one.ended)
                if fitting:
                    found[job.id] = sent.pop(fitting[0].number)
        return found

    def save(self, path: Path) -> None:
        """All but the events, which the history holds."""
        path.write_bytes(_EVIDENCE.dump_json(replace(self, events=()), indent=1) + b"\n")


def load(path: Path, history: Path) -> Evidence:
    """What an episode left, to be judged again."""
    return replace(_EVIDENCE.validate_json(path.read_bytes()), events=tuple(read(history)))


_EVIDENCE = TypeAdapter(Evidence)


def _leaves_doubt(refused: Event) -> bool:
    """Whether there may be a job all the same."""
    status = refused["status"]
    return refused["code"] not in _SURE and (status is None or status >= 500)
