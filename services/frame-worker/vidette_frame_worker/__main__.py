"""`python -m vidette_frame_worker`: one pod of one job. Exit codes are `vidette_core.domain.worker_api.WorkerExit`."""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import structlog
from prometheus_client import start_http_server
from pydantic import ValidationError

from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.settings import (
    CONFIGURATION_ERROR,
    LogSettings,
    TracingSettings,
    VideoLimitSettings,
    name_wrong_settings,
)
from vidette_core.telemetry.logs import configure_logs
from vidette_core.telemetry.metrics import REGISTRIES, Service
from vidette_core.telemetry.tracing import continued, stop, tracing
from vidette_frame_worker.gateway import Gateway
from vidette_frame_worker.measured import MeasuredInference
from vidette_frame_worker.settings import WorkerSettings
from vidette_frame_worker.video import Limits
from vidette_frame_worker.worker import End, Worker

_log = structlog.get_logger(__name__)
_MOST_LAST_WORDS = 2048
"""Bytes; Kubernetes keeps 4096 of a termination message."""
_LAST_SPANS_S = 1.0
"""A node that is drained, and the next worker in line, wait for this one to be gone."""
_ON_SIGTERM = "SIGTERM: another worker goes on from the last committed chunk"


def _end_on_sigterm(termination_log: Path | None) -> None:
    """End at once: what is committed is safe, and what is not would not get done within any grace period."""

    def end(_: int, __: FrameType | None) -> None:
        try:
            _say_last(termination_log, _ON_SIGTERM)
            _log.info(_ON_SIGTERM)
            stop(_LAST_SPANS_S)
        finally:
            # Writing may fail, since the signal may have come in the middle of another line; the exit code must not.
            _leave(WorkerExit.TERMINATED)

    signal.signal(signal.SIGTERM, end)


def _say_last(termination_log: Path | None, sentence: str) -> None:
    """Best effort: where it cannot be written, the log has it too."""
    if termination_log is not None:
        with suppress(OSError):
            termination_log.write_bytes(sentence.encode()[:_MOST_LAST_WORDS])


def main() -> int:
    """The exit code: a WorkerExit, or CONFIGURATION_ERROR."""
    try:
        settings, limits, logs, traces = WorkerSettings(), VideoLimitSettings(), LogSettings(), TracingSettings()
    except ValidationError as error:
        name_wrong_settings(error)
        return CONFIGURATION_ERROR
    configure_logs(logs, "frame-worker", job_id=str(settings.job_id), pod=settings.pod_name)
    _end_on_sigterm(settings.termination_log)
    # Whatever a file makes the decoder want: what it cannot have is an error here, and not the machine's trouble.
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes, settings.memory_bytes))
    try:
        with tracing("vidette-frame-worker", traces, _LAST_SPANS_S), continued(settings.traceparent):
            end = _work(settings, limits)
    except Exception as error:
        _log.exception("an unexpected error ends this worker")
        end = End(WorkerExit.FAILED, f"A defect ended this worker ({type(error).__name__}); its log says more.")
    _say_last(settings.termination_log, end.sentence)
    return end.code


def _work(settings: WorkerSettings, limits: VideoLimitSettings) -> End:
    if settings.metrics_port is not None:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, REGISTRIES[Service.WORKER])
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
