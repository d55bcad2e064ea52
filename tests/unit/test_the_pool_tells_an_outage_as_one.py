"""SQLAlchemy's pool logs an error with a stack when a connection cannot be closed; while PostgreSQL is away that is no defect."""

from __future__ import annotations

import logging

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from vidette_core.adapters.postgres.engine import Database
from vidette_core.settings import DatabaseSettings


def said_by_the_pool(error: Exception) -> tuple[list[str], list[str]]:
    """What became of an error that the pool logs: in the pool's own words, and in ours."""
    pool = Database(DatabaseSettings(url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))).engine.sync_engine.pool
    own: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            own.append(record.getMessage())

    listener = Listener()
    logging.getLogger("sqlalchemy").addHandler(listener)
    try:
        with capture_logs() as ours:
            try:
                raise error
            except type(error):
                pool.logger.error("Exception closing connection %r", "x", exc_info=True)
    finally:
        logging.getLogger("sqlalchemy").removeHandler(listener)
    return own, [f"{line['log_level']} {line['error']}" for line in ours]


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), asyncpg.ConnectionDoesNotExistError("gone")])
def test_a_server_that_is_away_is_a_warning_of_one_line(error: Exception) -> None:
    assert said_by_the_pool(error) == ([], [f"warning {type(error).__name__}"])


def test_anything_else_stays_the_error_that_it_is() -> None:
    assert said_by_the_pool(ValueError("odd")) == (["Exception closing connection 'x'"], [])
