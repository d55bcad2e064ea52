"""Reads of one row by its key, on a few connections of their own and past SQLAlchemy.

Clients ask for a job's status every few seconds, more often than anything else happens, and for a statement that is always
the same an ORM has nothing to give: measured, it takes four times the CPU of the driver alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from vidette_core.adapters.postgres.driver_errors import LOST, port_error
from vidette_core.settings import DatabaseSettings

CONNECTIONS = 4
"""One gives thousands of rows a second; several, so that a slow answer does not hold up all others."""
_IDLE_S = 60.0
"""Idle for longer, a connection is closed: what stands between may forget it without a word."""


class SingleReads:
    """Connects when first asked. Dead connections are noticed and replaced by the driver's pool."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool | None = None

    async def one(self, statement: str, *parameters: Any) -> asyncpg.Record | None:
        """The first row of a SELECT, or None.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, is going down, or has no connection to spare.
            PortError: any other trouble with the statement.
        """
        try:
            # One limit for waiting, asking and giving back together.
            async with asyncio.timeout(self._settings.timeout_s):
                pool = await self._opened()
                async with pool.acquire() as connection:
                    if self._settings.statement_cache:
                        return await connection.fetchrow(statement, *parameters)
                    # Preparing and running are two occasions: only in a transaction does a PgBouncer keep the connection.
                    async with connection.transaction(readonly=True):
                        return await connection.fetchrow(statement, *parameters)
        except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError, *LOST) as error:
            raise port_error(error) from error

    async def close(self) -> None:
        """Closes the connections; reads under way are cut off."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _opened(self) -> asyncpg.Pool:
        """Made here, since a pool belongs to the event loop that runs when it is made. Nothing is connected yet."""
        if self._pool is None:
            settings = self._settings
            # By SQLAlchemy's own dialect, so that one URL means the same in both pools, several hosts included.
            dialect: Any = PGDialect_asyncpg
            _, arguments = dialect().create_connect_args(make_url(settings.url.get_secret_value()))
            arguments.pop("prepared_statement_cache_size", None)
            own = {
                "min_size": 0,
                "max_size": CONNECTIONS,
                "max_inactive_connection_lifetime": _IDLE_S,
                "timeout": settings.timeout_s,
                "command_timeout": settings.timeout_s,
                "statement_cache_size": settings.statement_cache,
                "reset": _nothing_to_reset,
            }
            self._pool = asyncpg.create_pool(**{**arguments, **own})
        await self._pool  # the first time this opens it, without a pause in which another reader could come
        return self._pool


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """SELECTs leave no session state behind, so the round trip that would clear it is saved."""
