"""The database that migrations make is the one that the code believes in."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from vidette_core.adapters.postgres import schema
from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.migrate import migrate
from vidette_core.domain.jobs import JobState, SegmentState
from vidette_core.settings import DatabaseSettings


async def test_the_tables_are_those_of_the_schema_module(postgres_url: str) -> None:
    assert schema.JobRow.__tablename__ == "jobs"

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [found for found in compare_metadata(context, SQLModel.metadata) if "alembic_version" not in str(found)]

    database = Database(DatabaseSettings(url=SecretStr(postgres_url)))
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_the_enums_of_the_database_are_those_of_the_domain(postgres_url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(postgres_url)))
    for name, kind in (("job_state", JobState), ("segment_state", SegmentState)):
        async with database.transaction() as session:
            labels = (await session.execute(text(f"SELECT unnest(enum_range(NULL::{name}))::text"))).scalars().all()
        assert list(labels) == [member.value for member in kind]
    await database.close()


async def test_migrating_a_migrated_database_changes_nothing(postgres_url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(postgres_url)))
    await migrate(database)
    async with database.transaction() as session:
        assert (await session.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1
    await database.close()
