"""What the controller sees of running jobs: frozen values, gathered in one transaction, that its planner decides upon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from vidette_core.domain.errors import Problem


@dataclass(frozen=True, slots=True)
class RunningSegment:
    index: int
    done: bool
    holder: str | None
    lease_until: datetime | None
    stalled_claims: tuple[str, ...]
    """The pods that claimed the segment since a chunk was last committed."""
    problem: Problem | None
    """What the holder reported as the job's end."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job in state `running`; `started_at` is when its current attempt began."""

    id: UUID
    attempt: int
    stalled_attempts: int
    """Attempts that ended by their own fault since a chunk was last committed."""
    waited_attempts: int
    """Attempts since then that ended for want of something else."""
    launch_name: str
    launch_uid: str | None
    started_at: datetime
    cancelled: bool
    """Its client asked for its end."""
    segments: tuple[RunningSegment, ...]
    workers: int = 1
    """How many it has been given, within the caps."""
    max_workers: int | None = None
    """The most that it may be given; None: as many as the caps allow."""
    more_memory: bool = False
    """An earlier attempt ran out of memory: all that follow are launched with more."""
    pipeline_id: str = ""
    traceparent: str | None = None
    """Of the request that submitted it, where requests are traced."""


LEAVING = timedelta(seconds=15)
"""What the workers of an ended job have to end by themselves: they need a second, and as much again on a busy node."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All running jobs at `now`, which is the database's clock."""

    now: datetime
    jobs: tuple[RunningJob, ...]
    just_ended: frozenset[UUID] = frozenset()
    """Jobs that ended less than `LEAVING` ago, and not because their client cancelled them."""
    pending: int = 0
    """Jobs that wait until the caps have room for them."""
    oldest_pending: datetime | None = None
    """When the oldest of these was begun."""
