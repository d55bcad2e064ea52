"""Starting, seeing and stopping the workers of one job attempt. Adapters: local processes and Kubernetes Jobs.

The names are Kubernetes' own (Job, pod, uid), because that is the launcher this port was cut for; the local adapter gives
the same promises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class LaunchPhase(StrEnum):
    """Where a launched job stands, as its launcher sees it. It explains; the job's row decides."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Condition:
    """As Kubernetes states it: of which kind, whether it holds, why in one CamelCase word, and why in a sentence."""

    type: str
    holds: bool
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    """When it last began or ceased to hold."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One worker process, and what its launcher says of it. A launcher that knows no more leaves the explanations empty."""

    name: str
    exit_code: int | None = None
    """None while it waits or runs; a death by signal s is 128 + s. A pod that ended without running has 143: it was told to."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    """When its process first ran; None while it waits for a node, an image or its configuration."""
    reason: str = ""
    """Why it waits or how it ended, in Kubernetes' words: `ImagePullBackOff`, `OOMKilled`, `Evicted`, …"""
    message: str = ""
    """The same in a sentence of the launcher's, or the worker's own last words."""
    conditions: tuple[Condition, ...] = ()

    @property
    def disrupted(self) -> bool:
        """Whether it was ended for the cluster's sake (drained, evicted, preempted, its node lost), and not by its own doing."""
        return any(condition.type == "DisruptionTarget" and condition.holds for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What is to run: `workers` processes told `env` and `secrets`. `spec_hash` names the template it was made from."""

    name: str
    job_id: UUID
    attempt: int
    spec_hash: str
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Told to the workers as `env` is, and to nobody who may only look at Jobs and pods. Never in a log."""
    pipeline_id: str = ""
    """For people who look for the jobs of a pipeline."""
    workers: int = 1
    more_memory: bool = False
    """An earlier attempt ran out of memory."""


@dataclass(frozen=True, slots=True)
class LaunchedJob:
    """What the launcher holds under a name. `uid` differs between two jobs that had the same name."""

    name: str
    uid: str
    job_id: UUID
    attempt: int
    spec_hash: str
    phase: LaunchPhase
    created_at: datetime
    pods: tuple[Pod, ...] = ()
    conditions: tuple[Condition, ...] = ()
    refusal: str = ""
    """Why its pods cannot even be made (a quota, an admission policy), in the launcher's words."""
    retired: bool = False
    """It has ended, nobody wants it any more, and the launcher will forget it by itself after a while."""
    workers: int = 1
    """How many workers it is to have at once."""
    more_memory: bool = False
    """It was launched with more memory than others, because an earlier attempt ran out of it."""
    namespace: str = ""
    """Where people have to look for it; empty where there is only one place."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth telling whoever looks at a launched job: a CamelCase reason for programs, a sentence for people."""

    reason: str
    sentence: str
    warning: bool = False


class Launcher(Protocol):
    """Every call but `list` is live (no cache). All raise `Unavailable` when the launcher cannot be asked."""

    async def create(self, spec: LaunchSpec) -> LaunchedJob:
        """Start the job. Raises `Conflict` when the name is taken, by whomever; nothing is started then."""

    async def get(self, name: str) -> LaunchedJob:
        """Raises `NotFound`."""

    async def list(self) -> list[LaunchedJob]:
        """All jobs of this installation, as they were not long ago: a hint, to be confirmed by `get` before anything is lost.

        A failure, or not having heard of the jobs for long, is `Unavailable`, never an empty list.
        """

    async def grow(self, name: str, uid: str, workers: int) -> None:
        """Have `workers` workers at once instead of fewer. A job that has as many is left as it is: none ever shrinks.

        Raises `NotFound`, and `Conflict` when the name belongs to another uid, or the job has ended.
        """

    async def delete(self, name: str, uid: str) -> None:
        """Ask for the job and its pods to stop (SIGTERM, then SIGKILL after the grace period) and be forgotten.

        Returns at once; the job may be seen until its pods have ended, and one that has ended already may be kept for a while,
        `retired`, so that people can read its logs. A job that is gone is fine. Raises `Conflict` when the name now belongs to
        another uid.
        """

    async def tell(self, name: str, uid: str, note: Note) -> None:
        """Write the note where people look at the job. Best effort, bounded in time; raises nothing."""

    def changes(self) -> AsyncIterator[None]:
        """Yields soon after something may have changed, and now and then without reason. Ends never; raises never."""
