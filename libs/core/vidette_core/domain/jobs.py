"""The life of a job and of its segments: states, what moves each on, and what a crash leaves behind.

These enums are the runbook. Who moves a job out of a state is named at the state; a job whose mover died stays where it is,
whole, until the mover's successor finds it, because every move is one compare-and-set in PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from vidette_core.domain.errors import Problem
from vidette_core.domain.sampling import Sampling

DEFAULT_TENANT = "default"
"""Whose jobs all are, until clients are told apart. Another tenant's job is as good as none."""


class JobState(StrEnum):
    """Where a job stands. Clients see the last four; `uploading` is internal."""

    UPLOADING = "uploading"
    """The api takes the video. It renews `heartbeat_at`, and moves the job to `pending` once the object is complete, or to
    `failed` when the upload breaks off. A dead api leaves a stale heartbeat: the controller's sweeper aborts the multipart
    upload by its stored id and fails the row. Nobody was told the job's id yet, so nothing was promised."""

    PENDING = "pending"
    """The video is in the store and the client has the job's id. The controller claims it when the caps allow, woken by NATS
    or by its own sweep. Nothing can be lost here: a crash of anything leaves the row as it is."""

    RUNNING = "running"
    """The controller has claimed it: attempt, launch name and spec hash are in the row, and a launched job of that name
    exists or will be created. Workers claim segments and commit chunks. A dead worker loses its uncommitted frames, a dead
    controller nothing; a launched job that vanished is replaced by the next attempt, which goes on at the ledger's end."""

    COMPLETED = "completed"
    """The controller has reconciled the ledger: every sampled frame stands in a committed chunk exactly once. Final."""

    FAILED = "failed"
    """The job ended with a problem, which the row holds. Final."""

    @property
    def is_final(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED)


class SegmentState(StrEnum):
    """Where a segment stands; only its fenced holder moves it."""

    OPEN = "open"
    """Unfinished. Whoever claims it gets the next epoch and goes on at `next_sample`; earlier epochs can write no more."""

    DONE = "done"
    """All its samples are committed: `next_sample` equals `end_sample`. Final."""


@dataclass(frozen=True, slots=True)
class JobWarning:
    """Something a client should know about a job that did not fail, e.g. `truncated`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How the sampled frames of a job ended; `frames` is their sum."""

    ok: int = 0
    decode_error: int = 0
    model_error: int = 0

    @property
    def frames(self) -> int:
        return self.ok + self.decode_error + self.model_error

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.ok + other.ok, self.decode_error + other.decode_error, self.model_error + other.model_error)


@dataclass(frozen=True, slots=True)
class TextCounts:
    """How the lines of text came to be known: `read` by the recognition model, or `reused` from an earlier frame of the chunk
    in which the same pixels stood."""

    read: int = 0
    reused: int = 0

    def __add__(self, other: TextCounts) -> TextCounts:
        return TextCounts(self.read + other.read, self.reused + other.reused)


@dataclass(frozen=True, slots=True)
class Job:
    """A submitted job, as clients may see it."""

    id: UUID
    tenant: str
    state: JobState
    pipeline_id: str
    pipeline_digest: str
    sampling: Sampling
    chunk_frames: int
    progress: float | None
    problem: Problem | None
    warnings: tuple[JobWarning, ...]
    tally: Tally | None
    text: TextCounts | None
    created_at: datetime
    updated_at: datetime
    verifies: UUID | None = None
    """The job whose results this one looks at again."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Who may write: the holder of this epoch of this segment. A later claim raises the epoch and makes this one a zombie's."""

    job_id: UUID
    segment: int
    epoch: int
