"""What an error of the PostgreSQL driver means: away for now, or trouble with the statement itself."""

from __future__ import annotations

import asyncpg

from vidette_core.ports.errors import DatabaseUnavailable, PortError

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    # What a statement meets on a connection that was idle while the server said goodbye, until the goodbye is read to its end.
    asyncpg.InternalClientError,
)
"""Of the driver's errors those that say that PostgreSQL is away, going down, or has no connection to spare."""


def port_error(error: BaseException | None) -> PortError:
    """The port's error for one of the driver's, or of the network below it."""
    if isinstance(error, (TimeoutError, OSError, *LOST)):
        return DatabaseUnavailable("PostgreSQL does not answer")
    if isinstance(error, asyncpg.InterfaceError):
        return DatabaseUnavailable("the connection to PostgreSQL was lost")
    return PortError(f"PostgreSQL refused a statement: {type(error).__name__}")
