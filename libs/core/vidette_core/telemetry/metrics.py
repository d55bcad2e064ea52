"""Every metric of every service, in one typed list: its name, unit, labels and meaning.

Names follow the Prometheus conventions: base units, `_total` on counters. Labels have few values. `METRICS` describes what is
defined below, so that pages, dashboards and alerts can be held against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.results import FrameError

# A second series for each counter and histogram, which says only when the process first used it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it

OPEN: Final = None
"""Of a label whose values no list of ours knows: models have names that users gave."""
Values = tuple[str, ...] | None
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_CODES = tuple(code.value for code in ErrorCode)
_ENDS = ("ok", *(error.value for error in FrameError))


class Service(StrEnum):
    """Which process reports a metric. The gateway is the api's second app, and shares its registry."""

    API = "api"
    CONTROLLER = "controller"
    WORKER = "frame-worker"


REGISTRIES: Final = {service: CollectorRegistry() for service in Service}
"""A process shows the metrics of its own service only: that one is absent then means that its service is."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a dashboard has to know. `labels`: each with its possible values, or `OPEN`."""

    name: str
    kind: type[Counter] | type[Gauge] | type[Histogram]
    service: Service
    meaning: str
    labels: Mapping[str, Values]


METRICS: list[Metric] = []


def _described(
    kind: type[Counter] | type[Gauge] | type[Histogram],
    service: Service,
    name: str,
    meaning: str,
    labels: Mapping[str, Values],
) -> None:
    METRICS.append(Metric(name, kind, service, meaning, labels))


def _counter(service: Service, name: str, meaning: str, **labels: Values) -> Counter:
    """Of values that are known, each is there as 0 from the start: Prometheus sees no increase in what begins at 1."""
    _described(Counter, service, name, meaning, labels)
    counter = Counter(name, meaning, list(labels), registry=REGISTRIES[service])
    known = [values for values in labels.values() if values is not None]
    if labels and len(known) == len(labels):
        for each in product(*known):
            counter.labels(*each)
    return counter


def _gauge(service: Service, name: str, meaning: str, **labels: Values) -> Gauge:
    _described(Gauge, service, name, meaning, labels)
    return Gauge(name, meaning, list(labels), registry=REGISTRIES[service])


def _histogram(service: Service, name: str, meaning: str, **labels: Values) -> Histogram:
    _described(Histogram, service, name, meaning, labels)
    return Histogram(name, meaning, list(labels), buckets=_SECONDS, registry=REGISTRIES[service])


UPLOADS = _counter(
    Service.API,
    "vidette_uploads_total",
    "Uploads ended, by `submitted` or the error code.",
    outcome=("submitted", *_CODES),
)
UPLOADED_BYTES = _counter(Service.API, "vidette_uploaded_bytes_total", "Bytes of video received.")
UPLOADS_ACTIVE = _gauge(Service.API, "vidette_uploads_active", "Uploads under way in this process.")
REQUEST_SECONDS = _histogram(
    Service.API,
    "vidette_request_seconds",
    "Time to answer a request, seconds.",
    app=("public", "gateway"),
    route=OPEN,
    status=OPEN,
)
CLAIMS = _counter(
    Service.API, "vidette_claims_total", "Claims of workers, by answer.", answer=("claimed", "busy", "over")
)
CHUNKS_COMMITTED = _counter(Service.API, "vidette_chunks_committed_total", "Chunks committed.")
FRAMES_COMMITTED = _counter(
    Service.API,
    "vidette_frames_committed_total",
    "Frames committed, by how they ended; those of verifications too.",
    end=_ENDS,
)
FENCED_WRITES = _counter(
    Service.API, "vidette_fenced_writes_total", "Writes refused because the fence was not in force."
)

JOBS_ENDED = _counter(
    Service.CONTROLLER,
    "vidette_jobs_ended_total",
    "Jobs ended by the controller, by `completed` or the error code.",
    outcome=("completed", *_CODES),
)
JOBS_RUNNING = _gauge(
    Service.CONTROLLER, "vidette_jobs_running", "Jobs in state running; every replica counts the same."
)
JOBS_PENDING = _gauge(
    Service.CONTROLLER,
    "vidette_jobs_pending",
    "Jobs that wait for a place; every replica counts the same.",
)
OLDEST_PENDING_SECONDS = _gauge(
    Service.CONTROLLER, "vidette_oldest_pending_seconds", "Age of the oldest of them, seconds; 0 when none waits."
)
JOBS_NOT_STARTING = _gauge(
    Service.CONTROLLER,
    "vidette_jobs_not_starting",
    "Launched jobs none of whose workers can start, by finding; every replica counts the same.",
    finding=OPEN,
)
ACTIONS = _counter(Service.CONTROLLER, "vidette_controller_actions_total", "Actions applied, by kind.", action=OPEN)
DIAGNOSES = _counter(
    Service.CONTROLLER,
    "vidette_controller_diagnoses_total",
    "What kept workers from starting or ended them, by finding: once for each launched job and pod, and at each launch that "
    "is refused. Every replica counts for itself, and anew when it starts.",
    finding=OPEN,
)
TICK_SECONDS = _histogram(
    Service.CONTROLLER,
    "vidette_controller_tick_seconds",
    "Time of one round of gathering, planning and applying, seconds.",
)
TICKS_FAILED = _counter(
    Service.CONTROLLER, "vidette_controller_ticks_failed_total", "Rounds that something unavailable cut short."
)
LAUNCHER_UNAVAILABLE = _counter(
    Service.CONTROLLER,
    "vidette_controller_launcher_unavailable_total",
    "Rounds in which the launcher, the API server as a rule, did not answer: only what the rows can decide went on.",
)

FRAMES_ANALYSED = _counter(
    Service.WORKER, "vidette_worker_frames_total", "Frames analysed, by how they ended.", end=_ENDS
)
INFERENCE_SECONDS = _histogram(
    Service.WORKER, "vidette_worker_inference_seconds", "Time of one inference request, seconds.", model=OPEN
)
INFERENCE_RETRIES = _counter(
    Service.WORKER,
    "vidette_worker_inference_retries_total",
    "Inference requests tried again because Triton was away.",
)
TEXT_LINES = _counter(
    Service.WORKER,
    "vidette_worker_text_lines_total",
    "Lines of text in analysed frames: `read` by the recognition model, or `reused` from an earlier frame with the same pixels.",
    how=("read", "reused"),
)
