"""From the raw JSON of Jobs and pods to the few fields that are kept of each. Pure, and not surprised by a missing field.

Of 10,000 Jobs the raw objects are 60 MB and more, what is kept of them some 10.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from vidette_core.adapters.kube.names import ATTEMPT, JOB_ID, SPEC_HASH, WORKER
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.launcher import Condition, LaunchedJob, LaunchPhase, Pod

Json = Mapping[str, Any]
_JOB_NAME = "batch.kubernetes.io/job-name"
_JOB_UID = "batch.kubernetes.io/controller-uid"
_MOST_TEXT = 1000
_POD_CONDITIONS = frozenset({"PodScheduled", "DisruptionTarget"})
_KILLED = 137
_UNIX = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class JobView:
    uid: str
    name: str
    namespace: str
    job_id: UUID
    attempt: int
    spec_hash: str
    created_at: datetime
    conditions: tuple[Condition, ...]
    has_ttl: bool
    workers: int = 1


@dataclass(frozen=True, slots=True)
class PodView:
    uid: str
    job_name: str
    job_uid: str
    """Empty when the pod does not tell: of two Jobs that had one name, it may belong to either."""
    pod: Pod


def job_view(raw: Json) -> JobView | None:
    """None for a Job whose labels are not ours, or were spoilt by hand."""
    metadata = _mapping(raw, "metadata")
    labels, annotations = _mapping(metadata, "labels"), _mapping(metadata, "annotations")
    try:
        return JobView(
            uid=metadata["uid"],
            name=metadata["name"],
            namespace=sys.intern(metadata.get("namespace", "")),
            job_id=UUID(labels[JOB_ID]),
            attempt=int(labels[ATTEMPT]),
            spec_hash=annotations.get(SPEC_HASH, ""),
            created_at=_time(metadata.get("creationTimestamp")) or _UNIX,
            conditions=_conditions(_mapping(raw, "status")),
            has_ttl=_mapping(raw, "spec").get("ttlSecondsAfterFinished") is not None,
            workers=int(_mapping(raw, "spec").get("completions") or 1),
        )
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def pod_view(raw: Json) -> PodView | None:
    """None for a pod that belongs to no Job."""
    metadata, status = _mapping(raw, "metadata"), _mapping(raw, "status")
    labels = _mapping(metadata, "labels")
    job_name = labels.get(_JOB_NAME)
    if not job_name or "uid" not in metadata or "name" not in metadata:
        return None
    state = _mapping(_worker(status), "state")
    ended, running, waiting = (_mapping(state, name) for name in ("terminated", "running", "waiting"))
    # Of a pod that was evicted or lost its node the pod itself tells why; its container only ended.
    told = next((source for source in (status, ended, waiting) if source.get("reason")), ended)
    pod = Pod(
        name=metadata["name"],
        exit_code=_exit_code(status, ended),
        created_at=_time(metadata.get("creationTimestamp")),
        started_at=_started_at(running.get("startedAt") or ended.get("startedAt")),
        reason=str(told.get("reason") or ""),
        message=_text(told.get("message")),
        conditions=_conditions(status, _POD_CONDITIONS),
    )
    return PodView(metadata["uid"], job_name, str(labels.get(_JOB_UID) or ""), pod)


def launched_job(job: JobView, pods: Iterable[PodView]) -> LaunchedJob:
    """The Job and its pods, oldest first, as the launcher port tells of them; pods of an earlier Job of its name are not its."""
    its = (view.pod for view in pods if view.job_uid in ("", job.uid))
    own = sorted(its, key=lambda pod: (pod.created_at or _UNIX, pod.name))
    phase = _phase(job, own)
    return LaunchedJob(
        name=job.name,
        uid=job.uid,
        job_id=job.job_id,
        attempt=job.attempt,
        spec_hash=job.spec_hash,
        phase=phase,
        created_at=job.created_at,
        pods=tuple(own),
        conditions=job.conditions,
        workers=job.workers,
        # A policy of the cluster's may give every Job a TTL from its birth.
        retired=job.has_ttl and phase in (LaunchPhase.SUCCEEDED, LaunchPhase.FAILED),
        namespace=job.namespace,
    )


def _phase(job: JobView, pods: list[Pod]) -> LaunchPhase:
    """`FailureTarget` alone is not the end: the other pods have to end first."""
    holding = {condition.type for condition in job.conditions if condition.holds}
    if "Complete" in holding:
        return LaunchPhase.SUCCEEDED
    if "Failed" in holding:
        return LaunchPhase.FAILED
    return LaunchPhase.RUNNING if any(pod.started_at is not None for pod in pods) else LaunchPhase.PENDING


def _exit_code(status: Json, ended: Json) -> int | None:
    if ended:
        code = ended.get("exitCode")
        return code if isinstance(code, int) else _KILLED
    # The phase of a pod that was deleted may still be Running in its last event; then its Job's next pod tells.
    return int(WorkerExit.TERMINATED) if status.get("phase") == "Failed" else None


def _worker(status: Json) -> Json:
    named = [entry for entry in _mappings(status, "containerStatuses") if entry.get("name") == WORKER]
    return named[0] if named else {}


def _conditions(status: Json, wanted: frozenset[str] | None = None) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=str(entry["type"]),
            holds=entry.get("status") == "True",
            reason=str(entry.get("reason") or ""),
            message=_text(entry.get("message")),
            since=_time(entry.get("lastTransitionTime")),
        )
        for entry in _mappings(status, "conditions")
        if "type" in entry and (wanted is None or str(entry["type"]) in wanted)
    )


def _mapping(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _mappings(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def _text(value: object) -> str:
    return str(value or "")[:_MOST_TEXT]


def _started_at(value: object) -> datetime | None:
    """containerd gives the beginning of Unix time for a container that could not be started at all."""
    moment = _time(value)
    return moment if moment is not None and moment > _UNIX else None


def _time(value: object) -> datetime | None:
    """RFC 3339 in UTC, as Kubernetes writes it."""
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00")) if value else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
