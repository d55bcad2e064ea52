"""What the planner may decide. Each action names what it saw, so that applying it is a compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from vidette_core.domain.errors import Problem
from vidette_core.ports.launcher import LaunchedJob


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Launch the attempt; its name may be taken by an earlier try of this very action."""

    job_id: UUID
    attempt: int
    name: str
    pipeline_id: str
    begun: datetime
    """When the attempt did."""
    more_memory: bool = False
    """An earlier attempt ran out of memory."""
    traceparent: str | None = None
    """Of the request that submitted the job."""


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The attempt cannot go on: fence it, and let the next one go on at the ledger's end."""

    job_id: UUID
    attempt: int
    name: str
    reason: str
    blame: bool
    """Whether the attempt counts against the job: not when something else was away or took the workers down."""
    uid: str | None
    """Of the attempt's launched job."""
    seen: LaunchedJob | None
    """As it was in the list, which may be old: a live look has to confirm it. None: it was not there."""
    more_memory: bool = False
    """Whether this attempt ran out of memory, so that all that follow get more."""


@dataclass(frozen=True, slots=True)
class ReleaseSegments:
    """These pods have ended: what they hold can be claimed at once."""

    job_id: UUID
    attempt: int
    pods: tuple[str, ...]
    blameless: tuple[str, ...]
    """Those among them that ended for want of something else (exit codes 75 and 143)."""


@dataclass(frozen=True, slots=True)
class GrowJob:
    """More segments are unfinished than there are workers: up to `wanted` of them, as far as the caps allow."""

    job_id: UUID
    attempt: int
    name: str
    uid: str
    wanted: int
    has: int
    """How many the launched job has."""


@dataclass(frozen=True, slots=True)
class FinishJob:
    """All segments are done: reconcile the ledger and end the job. `name`, `uid`: where to tell how it ended."""

    job_id: UUID
    name: str
    uid: str | None


@dataclass(frozen=True, slots=True)
class FailJob:
    """The job cannot succeed, or nobody wants it any more. `name`, `uid`: where to tell so."""

    job_id: UUID
    attempt: int
    problem: Problem
    name: str
    uid: str | None


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """No running job wants this launched job (any more)."""

    name: str
    uid: str
    job_id: UUID


Action = CreateJob | NextAttempt | ReleaseSegments | GrowJob | FinishJob | FailJob | DeleteJob
