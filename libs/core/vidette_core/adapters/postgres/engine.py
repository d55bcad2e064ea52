"""Connections to PostgreSQL, and the translation of what goes wrong with them.

No statement cache and no session state, so that a PgBouncer in transaction mode may stand between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import CursorResult, Result, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from vidette_core.ports.errors import DatabaseUnavailable, PortError
from vidette_core.settings import DatabaseSettings

_LOST = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError)


class Database:
    """A pool of connections. Use as an async context manager, or call `close`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.engine: AsyncEngine = create_async_engine(
            settings.url.get_secret_value(),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout_s,
            pool_pre_ping=True,
            # A statement's parameters hold what clients and workers sent; they have no place in a log.
            hide_parameters=True,
            connect_args={
                "timeout": settings.timeout_s,
                "command_timeout": settings.timeout_s,
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                # PgBouncer hands one server connection to many clients: names must not meet there.
                "prepared_statement_name_func": lambda: f"__vidette_{uuid4().hex}__",
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction, committed at the end of the block and rolled back by an exception.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, is going down, or has no connection to spare.
            PortError: any other trouble with a statement.
        """
        try:
            async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (TimeoutError, PoolTimeoutError, OSError) as error:
            raise DatabaseUnavailable("PostgreSQL does not answer") from error
        except DBAPIError as error:
            # From the driver's error: SQLAlchemy's own would bring the statement into a stack trace.
            raise _translated(error) from error.orig
        except SQLAlchemyError as error:
            raise PortError(f"a statement failed: {type(error).__name__}") from error

    async def ping(self) -> None:
        """Raises `DatabaseUnavailable` when PostgreSQL does not answer."""
        async with self.transaction() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


def changed(result: Result[Any]) -> bool:
    """Whether an UPDATE met a row: a compare-and-set that met none has lost."""
    return isinstance(result, CursorResult) and result.rowcount > 0


def _translated(error: DBAPIError) -> PortError:
    driver = getattr(error.orig, "__cause__", None) or error.orig
    if error.connection_invalidated or isinstance(driver, (OSError, asyncio.TimeoutError, *_LOST)):
        return DatabaseUnavailable("PostgreSQL does not answer")
    if isinstance(driver, asyncpg.InterfaceError):
        return DatabaseUnavailable("the connection to PostgreSQL was lost")
    return PortError(f"PostgreSQL refused a statement: {type(driver).__name__}")
