"""Every metric of every service, in one typed list: its name, unit and meaning.

Names follow the Prometheus conventions: base units, `_total` on counters. Labels have few values, all from enums.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

REGISTRY = CollectorRegistry()
# A second series for each counter and histogram, which says only when the process first used it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

# The api.
UPLOADS = Counter(
    "vidette_uploads_total", "Uploads ended, by `submitted` or the error code.", ["outcome"], registry=REGISTRY
)
UPLOADED_BYTES = Counter("vidette_uploaded_bytes_total", "Bytes of video received.", registry=REGISTRY)
UPLOADS_ACTIVE = Gauge("vidette_uploads_active", "Uploads under way in this process.", registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "vidette_request_seconds",
    "Time to answer a request, seconds.",
    ["app", "route", "status"],
    buckets=_SECONDS,
    registry=REGISTRY,
)

# The gateway.
CLAIMS = Counter("vidette_claims_total", "Claims of workers, by answer.", ["answer"], registry=REGISTRY)
CHUNKS_COMMITTED = Counter("vidette_chunks_committed_total", "Chunks committed.", registry=REGISTRY)
FRAMES_COMMITTED = Counter(
    "vidette_frames_committed_total", "Frames committed, by how they ended.", ["end"], registry=REGISTRY
)
FENCED_WRITES = Counter(
    "vidette_fenced_writes_total", "Writes refused because the fence was not in force.", registry=REGISTRY
)

# The controller.
JOBS_ENDED = Counter(
    "vidette_jobs_ended_total",
    "Jobs ended by the controller, by `completed` or the error code.",
    ["outcome"],
    registry=REGISTRY,
)
JOBS_RUNNING = Gauge("vidette_jobs_running", "Jobs in state running.", registry=REGISTRY)
ACTIONS = Counter("vidette_controller_actions_total", "Actions applied, by kind.", ["action"], registry=REGISTRY)
DIAGNOSES = Counter(
    "vidette_controller_diagnoses_total",
    "What kept workers from starting or ended them, told once for each launched job and pod, by finding.",
    ["finding"],
    registry=REGISTRY,
)
TICK_SECONDS = Histogram(
    "vidette_controller_tick_seconds",
    "Time of one round of gathering, planning and applying, seconds.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
TICKS_FAILED = Counter(
    "vidette_controller_ticks_failed_total", "Rounds that something unavailable cut short.", registry=REGISTRY
)

# The worker.
FRAMES_ANALYSED = Counter(
    "vidette_worker_frames_total", "Frames analysed, by how they ended.", ["end"], registry=REGISTRY
)
INFERENCE_SECONDS = Histogram(
    "vidette_worker_inference_seconds",
    "Time of one inference request, seconds.",
    ["model"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
INFERENCE_RETRIES = Counter(
    "vidette_worker_inference_retries_total",
    "Inference requests tried again because Triton was away.",
    registry=REGISTRY,
)
TEXT_LINES = Counter(
    "vidette_worker_text_lines_total",
    "Lines of text in analysed frames: `read` by the recognition model, or `reused` from an earlier frame with the same pixels.",
    ["how"],
    registry=REGISTRY,
)
