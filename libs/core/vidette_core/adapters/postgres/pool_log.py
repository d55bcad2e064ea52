"""What the connection pool logs of connections that it throws away: an outage is told as one, without a stack.

SQLAlchemy logs an error with a stack when a connection to a server that fell silent cannot be closed. That PostgreSQL is away was
told by whoever used the connection; this line only says what became of it.
"""

from __future__ import annotations

import logging

import structlog
from sqlalchemy import Engine

from vidette_core.adapters.postgres.driver_errors import port_error
from vidette_core.ports.errors import DatabaseUnavailable

_log = structlog.get_logger(__name__)


class _OutagesAreWarnings(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not isinstance(port_error(error), DatabaseUnavailable):
            return True
        _log.warning("the pool threw a connection away that could not be closed", error=type(error).__name__)
        return False


_OUTAGES_ARE_WARNINGS = _OutagesAreWarnings()


def tell_outages_as_such(engine: Engine) -> None:
    """The logger is of the pool's class, and so shared; a filter that it has is not added twice."""
    logging.getLogger(f"{type(engine.pool).__module__}.{type(engine.pool).__name__}").addFilter(_OUTAGES_ARE_WARNINGS)
