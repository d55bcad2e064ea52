"""Which failures the faults of an episode explain: asked too little, the checker would excuse everything. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.evidence import Evidence, JobRecord
from tests.chaos.history import What

AFTERMATH_S = 20.0
"""After its end a fault is felt that long: what was killed starts, what hung is noticed."""
_UPLOAD_CODES = {
    "upload_aborted",
    "upload_timeout",
    "database_unavailable",
    "store_unavailable",
}
_RUBBISH_CODES = _UPLOAD_CODES | {"invalid_request", "unknown_pipeline", "invalid_format"}
_OF_WORKERS = {"no_progress", "worker_unavailable"}
_ATTEMPTS = "attempts in a row ended without a result"
_MOST_ATTEMPTS = 5
"""VIDETTE_MAX_ATTEMPTS: so many have to end by their own fault without a chunk between them."""


@dataclass(frozen=True, slots=True)
class _Felt:
    """A fault that struck somebody, and from when to when it can have been felt; wall time."""

    target: str
    since: float
    until: float


def ever_asked_to_cancel(evidence: Evidence, job: JobRecord) -> bool:
    return any(event["job"] == job.id for event in evidence.of(What.CANCELLING))


def upload_may_break(evidence: Evidence, job: JobRecord) -> bool:
    """Its client sent no video or left, or a fault was felt during the upload."""
    odd = [event for event in evidence.of(What.SENT) if event["kind"] != "submit"]
    if job.code in _RUBBISH_CODES and any(event.wall - 1 <= job.created <= event.wall + 60 for event in odd):
        return True
    return job.code in _UPLOAD_CODES and any(_during(evidence, job))


def may_be_of_its_workers(evidence: Evidence, job: JobRecord) -> bool:
    """As many faults as attempts struck workers, or what they need, while the job was there."""
    if job.code not in _OF_WORKERS and not (job.code == "internal" and _ATTEMPTS in job.message):
        return False
    hard = [felt for felt in _during(evidence, job) if not felt.target.startswith(("client", "nats"))]
    return len(hard) >= _MOST_ATTEMPTS


def _during(evidence: Evidence, job: JobRecord) -> Iterator[_Felt]:
    finished = job.finished if job.finished is not None else float("inf")
    for event in evidence.of(What.FAULT):
        if event["met"]:
            until = event.wall + float(event.facts.get("seconds", 0)) + AFTERMATH_S
            if event.wall <= finished and until >= job.created:
                yield _Felt(event["target"], event.wall, until)
