"""Structured logs: one JSON object (or one tidy line) per event on standard error, with the job's id where there is one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog

from vidette_core.settings import LogSettings
from vidette_core.telemetry.tracing import add_trace_id


def configure_logs(settings: LogSettings, service: str, **constants: str) -> None:
    """Set up structlog, and send the standard library's records (uvicorn, botocore, nats) the same way.

    `constants` stand on every line of every thread, which context variables would not.
    """

    def add_constants(_: Any, __: str, event: Any) -> Any:
        return {**event, "service": service, **constants}

    shared: list[Any] = [
        add_constants,
        structlog.contextvars.merge_contextvars,
        add_trace_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json = settings.format == "json"
    # The console's renderer prints stacks by itself.
    render: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if json else [_console()]
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.level, force=True)
    for chatty in ("botocore", "boto3", "urllib3", "httpx", "httpcore", "nats", "sqlalchemy", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _console() -> structlog.dev.ConsoleRenderer:
    """With plain tracebacks: the default one prints every local variable, and so what must not leak."""
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


@contextmanager
def job_in_logs(job_id: UUID | str, **more: Any) -> Iterator[None]:
    """Every log line of the block, in this task or thread, carries the job's id."""
    with structlog.contextvars.bound_contextvars(job_id=str(job_id), **more):
        yield
