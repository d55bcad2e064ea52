"""`python -m vidette_frame_worker`: one pod of one job. Exit codes are `vidette_core.domain.worker_api.WorkerExit`."""

from __future__ import annotations

import os
import resource
import signal
import sys
from types import FrameType
from typing import NoReturn

import structlog
from prometheus_client import start_http_server
from pydantic import ValidationError

from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.settings import CONFIGURATION_ERROR, LogSettings, VideoLimitSettings, name_wrong_settings
from vidette_core.telemetry.logs import configure_logs
from vidette_core.telemetry.metrics import REGISTRY
from vidette_frame_worker.gateway import Gateway
from vidette_frame_worker.measured import MeasuredInference
from vidette_frame_worker.settings import WorkerSettings
from vidette_frame_worker.video import Limits
from vidette_frame_worker.worker import Worker

_log = structlog.get_logger(__name__)


def _on_sigterm(_: int, __: FrameType | None) -> None:
    """End at once: what is committed is safe, and what is not would not get done within any grace period."""
    try:
        _log.info("SIGTERM: another worker goes on from the last committed chunk")
    finally:
        # Writing may fail, since the signal may have come in the middle of another line; the exit code must not.
        _leave(WorkerExit.TERMINATED)


def main() -> int:
    """The exit code: a WorkerExit, or CONFIGURATION_ERROR."""
    try:
        settings, limits, logs = WorkerSettings(), VideoLimitSettings(), LogSettings()
    except ValidationError as error:
        name_wrong_settings(error)
        return CONFIGURATION_ERROR
    configure_logs(logs, "frame-worker", job_id=str(settings.job_id), pod=settings.pod_name)
    signal.signal(signal.SIGTERM, _on_sigterm)
    # Whatever a file makes the decoder want: what it cannot have is an error here, and not the machine's trouble.
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes, settings.memory_bytes))
    try:
        return _work(settings, limits)
    except Exception:
        _log.exception("an unexpected error ends this worker")
        return WorkerExit.FAILED


def _work(settings: WorkerSettings, limits: VideoLimitSettings) -> WorkerExit:
    if settings.metrics_port is not None:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, REGISTRY)
        _log.info("metrics", port=server.server_port)
    gateway = Gateway(settings.gateway_url, settings.job_token.get_secret_value(), settings.patience_s)
    with TritonInference(settings.triton_url, settings.inference_timeout_s) as inference:
        bounds = Limits(max_pixels=limits.pixels, max_frames=limits.frames, max_duration_s=limits.duration_s)
        return Worker(gateway, MeasuredInference(inference), settings, bounds).run()


def _leave(code: int) -> NoReturn:
    """End at once: threads that still wait for a server that is away must not hold up the end, nor change its code."""
    try:
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    code: int = WorkerExit.FAILED
    try:
        code = main()
    finally:
        _leave(code)
