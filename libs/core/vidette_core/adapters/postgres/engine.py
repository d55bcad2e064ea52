"""Connections to PostgreSQL, and the translation of what goes wrong with them.

No session state, and unless the settings allow it no statement is prepared for longer than a transaction, so that a PgBouncer
in transaction mode may stand between.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import CursorResult, Engine, Result, event, func, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from vidette_core.adapters.postgres.driver_errors import LOST, port_error
from vidette_core.adapters.postgres.pool_log import tell_outages_as_such
from vidette_core.adapters.postgres.single_reads import SingleReads
from vidette_core.ports.errors import DatabaseUnavailable, PortError
from vidette_core.settings import DatabaseSettings

PING_AFTER_S = 10.0
"""A connection that was idle for longer is tried before it is used: something between may have forgotten it silently."""


class Database:
    """A pool of connections. Use as an async context manager, or call `close`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.engine: AsyncEngine = create_async_engine(
            settings.url.get_secret_value(),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout_s,
            # A statement's parameters hold what clients and workers sent; they have no place in a log.
            hide_parameters=True,
            connect_args={
                "timeout": settings.timeout_s,
                "command_timeout": settings.timeout_s,
                "statement_cache_size": 0,  # asyncpg's own, which SQLAlchemy goes past
                "prepared_statement_cache_size": settings.statement_cache,
                # PgBouncer hands one server connection to many clients: names must not meet there.
                "prepared_statement_name_func": lambda: f"__vidette_{uuid4().hex}__",
            },
        )
        _never_hand_out_dead_connections(self.engine.sync_engine)
        tell_outages_as_such(self.engine.sync_engine)
        self.single_reads = SingleReads(settings)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction, committed at the end of the block and rolled back by an exception.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, is going down, or has no connection to spare.
            PortError: any other trouble with a statement.
        """
        with _translating():
            async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
                yield session

    async def ping(self) -> None:
        """Raises `DatabaseUnavailable` when PostgreSQL does not answer."""
        async with self.transaction() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.single_reads.close()
        await self.engine.dispose()


def changed(result: Result[Any]) -> bool:
    """Whether an UPDATE met a row: a compare-and-set that met none has lost."""
    return isinstance(result, CursorResult) and result.rowcount > 0


async def database_now(session: AsyncSession) -> datetime:
    """When the transaction began, by the database's clock: the only one that leases and times in rows go by."""
    return (await session.execute(select(func.now()))).scalar_one()


def _never_hand_out_dead_connections(engine: Engine) -> None:
    """In place of a ping before every use, which costs four round trips.

    A server that ended or was killed has closed its connections, which the driver has noticed; silence is asked about.
    """

    @event.listens_for(engine, "checkin")
    def remember(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
        idle_since = entry.info.get("idle_since")
        if idle_since is None:
            return  # just made
        is_lost = entry.driver_connection is None or entry.driver_connection.is_closed()
        if not is_lost and time.monotonic() - idle_since > PING_AFTER_S:
            is_lost = not _answers(engine, connection)
        if is_lost:
            raise InvalidatePoolError  # the pool connects anew, and drops what is as old


def _answers(engine: Engine, connection: DBAPIConnection) -> bool:
    try:
        return bool(engine.dialect.do_ping(connection))
    except Exception:  # whatever it is, connecting anew will tell
        return False


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (TimeoutError, PoolTimeoutError, OSError, *LOST) as error:
        raise DatabaseUnavailable("PostgreSQL does not answer") from error
    except DBAPIError as error:
        # From the driver's error: SQLAlchemy's own would bring the statement into a stack trace.
        raise _translated(error) from error.orig
    except SQLAlchemyError as error:
        raise PortError(f"a statement failed: {type(error).__name__}") from error


def _translated(error: DBAPIError) -> PortError:
    if error.connection_invalidated:
        return DatabaseUnavailable("PostgreSQL does not answer")
    return port_error(getattr(error.orig, "__cause__", None) or error.orig)
