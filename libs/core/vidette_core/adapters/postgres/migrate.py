"""Bring a database to the newest schema: `python -m vidette_core.adapters.postgres.migrate`.

Several may run at once: they take turns under an advisory lock, and all but the first find nothing to do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from vidette_core.adapters.postgres.engine import Database
from vidette_core.settings import DatabaseSettings

_LOCK = 0x76696465747465  # "vidette" in ASCII


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def migrate(database: Database) -> None:
    """Upgrade to the newest schema in one transaction."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade)


async def _main() -> None:
    database = Database(DatabaseSettings())
    try:
        await migrate(database)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(_main())
