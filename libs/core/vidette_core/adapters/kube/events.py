"""Events of Jobs: what we write for people who run `kubectl describe`, and what the job controller says of refused pods.

Core `v1` Events, which `kubectl describe` shows. One sentence is one Event, whose name follows from it: said again, it is only
marked as seen again, so that a controller that says the same for an hour fills no etcd.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from vidette_core.ports.launcher import Note

_SOURCE = "vidette-controller"
_MOST_MESSAGE = 1024
"""Longer messages are refused by the API server (k8s.io/kubernetes/pkg/apis/core/validation)."""
FAILED_CREATE = "FailedCreate"
"""What the job controller says when the API server refuses a pod: a quota, an admission policy, a missing service account."""


def event_name(job_name: str, uid: str, note: Note) -> str:
    digest = hashlib.sha256(f"{uid} {note.reason} {note.sentence}".encode()).hexdigest()[:16]
    return f"{job_name}.{digest}"


def event(namespace: str, job_name: str, uid: str, note: Note, now: datetime) -> dict[str, Any]:
    """The manifest of one Event that concerns the Job."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(job_name, uid, note), "namespace": namespace},
        "involvedObject": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job_name,
            "namespace": namespace,
            "uid": uid,
        },
        "reason": note.reason,
        "message": note.sentence[:_MOST_MESSAGE],
        "type": "Warning" if note.warning else "Normal",
        "source": {"component": _SOURCE},
        "reportingComponent": _SOURCE,
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
    }


def seen_again(now: datetime) -> dict[str, Any]:
    """A merge patch for an Event that is there already."""
    return {"lastTimestamp": timestamp(now)}


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as Kubernetes writes `metav1.Time`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_refusal(events: Iterable[dict[str, Any]]) -> str:
    """The newest message of the job controller that says why it could not make a pod; empty when there is none."""
    refusals = [entry for entry in events if entry.get("reason") == FAILED_CREATE]
    newest = max(
        refusals, key=lambda entry: str(entry.get("lastTimestamp") or entry.get("eventTime") or ""), default={}
    )
    return str(newest.get("message") or "")[:_MOST_MESSAGE]
