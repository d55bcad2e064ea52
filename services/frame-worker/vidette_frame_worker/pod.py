"""What a worker does once it is confined: its loop on a thread of its own, and the first thread to look after that.

The first thread never calls the decoder, so it is always there: for SIGTERM, and for noticing a call that does not end.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context

import structlog
from prometheus_client import start_http_server

from vidette_core.adapters.triton import TritonInference
from vidette_core.settings import VideoLimitSettings
from vidette_core.telemetry.metrics import REGISTRIES, Service
from vidette_frame_worker.gateway import Gateway
from vidette_frame_worker.measured import MeasuredInference
from vidette_frame_worker.settings import WorkerSettings
from vidette_frame_worker.video import Limits, overtime
from vidette_frame_worker.worker import End, Worker

LOOK_S = 0.5
"""How often it is looked whether the decoder takes too long."""
_log = structlog.get_logger(__name__)


def work(settings: WorkerSettings, limits: VideoLimitSettings) -> End:
    if settings.metrics_port is not None:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, REGISTRIES[Service.WORKER])
        _log.info("metrics", port=server.server_port)
    gateway = Gateway(settings.gateway_url, settings.job_token.get_secret_value(), settings.patience_s)
    with TritonInference(settings.triton_url, settings.inference_timeout_s) as inference:
        worker = Worker(gateway, MeasuredInference(inference), settings, Limits.of(limits))
        # Not in a `with`: the thread may never come back from the decoder, and the process ends without it.
        run = ThreadPoolExecutor(1, thread_name_prefix="worker").submit(copy_context().run, worker.run)
        return _watched(worker, run)


def _watched(worker: Worker, run: Future[End]) -> End:
    while not wait((run,), LOOK_S).done:
        if (late := overtime()) is not None:
            return worker.give_up(late)
    return run.result()
