"""`python -m vidette_frame_worker`: one pod of one job. Exit codes are `vidette_core.domain.worker_api.WorkerExit`.

Here is its beginning and its end, on one thread. The work, and with it NumPy and FFmpeg, is imported once it is confined.
"""

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
from pydantic import ValidationError

from vidette_core.domain.worker_api import WorkerExit
from vidette_core.settings import (
    CONFIGURATION_ERROR,
    LogSettings,
    TracingSettings,
    VideoLimitSettings,
    name_wrong_settings,
)
from vidette_core.telemetry.logs import configure_logs
from vidette_core.telemetry.tracing import continued, stop, tracing
from vidette_frame_worker.confinement import ON, confine
from vidette_frame_worker.settings import WorkerSettings

_log = structlog.get_logger(__name__)
_MOST_LAST_WORDS = 2048
"""Bytes; Kubernetes keeps 4096 of a termination message."""
_LAST_SPANS_S = 1.0
"""A node that is drained, and the next worker in line, wait for this one to be gone."""
_ON_SIGTERM = "SIGTERM: another worker goes on from the last committed chunk"


class NotConfined(Exception):
    """Confinement is required here, and the kernel does not have all of it. Says what is missing."""


def _end_on_sigterm(last_words: int | None) -> None:
    """End at once: what is committed is safe, and what is not would not get done within any grace period."""

    def end(_: int, __: FrameType | None) -> None:
        try:
            _say_last(last_words, _ON_SIGTERM)
            _log.info(_ON_SIGTERM)
            stop(_LAST_SPANS_S)
        finally:
            # Writing may fail, since the signal may have come in the middle of another line; the exit code must not.
            _leave(WorkerExit.TERMINATED)

    signal.signal(signal.SIGTERM, end)


def _opened(termination_log: Path | None) -> int | None:
    """Now, since a confined process opens no file for writing. None where it cannot be written: the log has it too."""
    if termination_log is None:
        return None
    with suppress(OSError):
        return os.open(termination_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    return None


def _say_last(last_words: int | None, sentence: str) -> None:
    if last_words is not None:
        with suppress(OSError):
            os.ftruncate(last_words, 0)  # another sentence may have been said
            os.pwrite(last_words, sentence.encode()[:_MOST_LAST_WORDS], 0)


def _confine(settings: WorkerSettings) -> None:
    """Raises NotConfined."""
    # Whatever a file makes the decoder want: what it cannot have is an error here, and not the machine's trouble.
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes, settings.memory_bytes))
    if settings.confinement == "off":
        return
    steps = confine(settings.metrics_port)
    missing = {name: found for name, found in steps.items() if found != ON}
    _log.debug("confined", **steps)
    if missing and settings.confinement == "required":
        raise NotConfined(", ".join(f"{name}: {found}" for name, found in missing.items()))
    if missing:
        _log.warning("this worker is not confined in every way", **missing)


def main() -> int:
    """The exit code: a WorkerExit, or CONFIGURATION_ERROR."""
    try:
        settings, limits, logs, traces = WorkerSettings(), VideoLimitSettings(), LogSettings(), TracingSettings()
    except ValidationError as error:
        name_wrong_settings(error)
        return CONFIGURATION_ERROR
    configure_logs(logs, "frame-worker", job_id=str(settings.job_id), pod=settings.pod_name)
    last_words = _opened(settings.termination_log)
    _end_on_sigterm(last_words)
    code, sentence = _run(settings, limits, traces)
    _say_last(last_words, sentence)
    return code


def _run(settings: WorkerSettings, limits: VideoLimitSettings, traces: TracingSettings) -> tuple[int, str]:
    """The exit code and the last sentence."""
    try:
        _confine(settings)
        from vidette_frame_worker.pod import work  # not before: it starts threads, and those would not be confined

        with tracing("vidette-frame-worker", traces, _LAST_SPANS_S), continued(settings.traceparent):
            end = work(settings, limits)
    except NotConfined as error:
        _log.error("this worker may not work unconfined", missing=str(error))
        return CONFIGURATION_ERROR, f"VIDETTE_CONFINEMENT is required, and this kernel does not have all of it: {error}"
    except Exception as error:
        _log.exception("an unexpected error ends this worker")
        return WorkerExit.FAILED, f"A defect ended this worker ({type(error).__name__}); its log says more."
    return end.code, end.sentence


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
