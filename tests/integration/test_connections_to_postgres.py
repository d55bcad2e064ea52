"""Connections are kept, replaced when the server has ended them, and carry nothing that a PgBouncer would trip over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.support.jobs import adapters
from vidette_core.adapters.postgres.engine import Database
from vidette_core.domain.jobs import JobState
from vidette_core.ports.errors import DatabaseUnavailable, PortError
from vidette_core.settings import DatabaseSettings

NOWHERE = "postgresql+asyncpg://nobody:secret@127.0.0.1:1/nothing"
PREPARED = "SELECT count(*) AS prepared FROM pg_prepared_statements"


@asynccontextmanager
async def database(url: str, statement_cache: int = 0) -> AsyncIterator[Database]:
    made = Database(DatabaseSettings(url=SecretStr(url), timeout_s=5, statement_cache=statement_cache))
    try:
        yield made
    finally:
        await made.close()


async def end_all_connections(url: str) -> None:
    """As a server does that goes down; returns when they are gone."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    try:
        assert await connection.fetchval(f"SELECT count(pg_terminate_backend(pid)) {others}") > 0
        while await connection.fetchval(f"SELECT count(*) {others}"):
            await asyncio.sleep(0.01)
    finally:
        await connection.close()
    await asyncio.sleep(0.1)  # what the server said last is on its way


async def test_a_connection_that_the_server_ended_is_not_handed_out(postgres_url: str) -> None:
    async with database(postgres_url) as made:
        await made.ping()
        await end_all_connections(postgres_url)
        await made.ping()


@pytest.mark.parametrize("statement_cache", [0, 100])
async def test_a_single_read_goes_on_after_the_server_ended_its_connections(
    postgres_url: str, statement_cache: int
) -> None:
    async with database(postgres_url, statement_cache) as made:
        assert await made.single_reads.one("SELECT $1::int AS n", 7) == (7,)
        await end_all_connections(postgres_url)
        assert await made.single_reads.one("SELECT $1::int AS n", 8) == (8,)


@pytest.mark.parametrize(("statement_cache", "stays"), [(0, False), (100, True)])
async def test_statements_stay_prepared_only_where_the_settings_allow_it(
    postgres_url: str, statement_cache: int, stays: bool
) -> None:
    async with database(postgres_url, statement_cache) as made:
        for _ in range(3):
            found = await made.single_reads.one(PREPARED)
        assert found is not None
        assert (found["prepared"] > 0) is stays


async def test_a_read_and_a_transaction_see_the_same_job(postgres_url: str) -> None:
    async with adapters(postgres_url) as made:
        job_id = await made.submit()
        assert (await made.reader.job(job_id)).state is JobState.PENDING
        async with made.database.transaction() as session:
            assert (await session.execute(text("SELECT state::text FROM jobs"))).scalar_one() == "pending"


async def test_a_server_that_is_away_is_named_as_such() -> None:
    async with database(NOWHERE) as made:
        with pytest.raises(DatabaseUnavailable):
            await made.single_reads.one("SELECT 1")
        with pytest.raises(DatabaseUnavailable):
            await made.ping()


async def test_a_refused_statement_is_not_taken_for_an_outage(postgres_url: str) -> None:
    async with database(postgres_url) as made:
        with pytest.raises(PortError, match="UndefinedTableError") as refused:
            await made.single_reads.one("SELECT * FROM nothing_of_that_name")
        assert not isinstance(refused.value, DatabaseUnavailable)
