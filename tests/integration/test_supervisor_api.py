"""The api as a part of the stack: how it ends while an upload is under way, and what it says when it cannot start."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from tests.support.public_api import CATALOG, MP4_HEAD, kept_blob_store
from tests.support.raw_http import FILE_HEAD, RawAnswer, raw_upload
from tests.support.servers import StoreEndpoint, part_environment
from tests.support.services import NOBODY
from tests.support.stores import store_settings
from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.domain.jobs import JobState
from vidette_core.ports.errors import NotFound
from vidette_core.settings import DatabaseSettings
from vidette_local.credentials import Credentials
from vidette_local.environment import API_SHUTDOWN_S, StackAddresses, api_environment
from vidette_local.parts.part import StartFailed, bring_up
from vidette_local.parts.service import ApiPart
from vidette_local.ports import load_or_pick

MIB = 2**20


@pytest.fixture
def part(tmp_path: Path, postgres_url: str, s3: StoreEndpoint) -> ApiPart:
    """The api as the stack starts it, before the servers of the tests."""
    ports = load_or_pick(tmp_path / "ports.json", ["http", "gateway"])
    addresses = StackAddresses(
        database_url=postgres_url,
        nats_url=f"nats://token@{NOBODY}",
        store_endpoint=s3.endpoint,
        store_bucket=s3.bucket,
        store_region=s3.region,
        triton=NOBODY,
        http_port=ports["http"],
        gateway_port=ports["gateway"],
        ops_port=1,
        jobs_socket=tmp_path / "nobody-listens",
        catalog=tmp_path / "catalog.json",
    )
    addresses.catalog.write_text(CATALOG.model_dump_json())
    secrets = Credentials(s3_access_key=s3.access_key, s3_secret_key=s3.secret_key)
    environment = {**part_environment(), **api_environment(addresses, secrets)}
    return ApiPart("api", "vidette_api", ports["http"], tmp_path, environment)


async def only_row(database: Database) -> JobRow:
    async with database.transaction() as session:
        return (await session.execute(select(JobRow))).scalar_one()


async def opened(database: Database) -> JobRow:
    """The row of the upload, once it is open in the store too."""
    async with asyncio.timeout(20):
        while True:
            async with database.transaction() as session:
                row = (await session.execute(select(JobRow))).scalar_one_or_none()
            if row is not None and row.upload_id is not None:
                return row
            await asyncio.sleep(0.02)


async def test_an_upload_under_way_when_the_stack_stops_is_aborted_and_its_row_says_so(
    tmp_path: Path, part: ApiPart, postgres_url: str, s3: StoreEndpoint
) -> None:
    database = Database(DatabaseSettings(url=SecretStr(postgres_url), timeout_s=5))
    child = await bring_up(part, tmp_path / "api.log")
    try:
        async with raw_upload(part.port) as upload:
            await upload.send(FILE_HEAD + MP4_HEAD + b"x" * (9 * MIB))
            assert (await opened(database)).state is JobState.UPLOADING
            answer = asyncio.create_task(upload.answer())
            began = time.monotonic()
            assert await child.stop(part.grace_seconds) == 0, "it ended by itself, within its grace period"
            assert API_SHUTDOWN_S <= time.monotonic() - began < part.grace_seconds
            told: RawAnswer = await asyncio.wait_for(answer, 5)
        row = await only_row(database)
        assert row.upload_id is not None
        with pytest.raises(NotFound):
            await kept_blob_store(store_settings(s3)).complete_upload(row.source_key, row.upload_id, {9999: '"none"'})
    finally:
        child.kill()
        await child.wait()
        await database.close()
    assert (told.status, told.headers["vidette-error"]) == (503, "upload_aborted")
    assert (row.state, row.error_code) == (JobState.FAILED, "upload_aborted")


async def test_an_api_without_a_catalog_says_so_in_one_sentence(tmp_path: Path, part: ApiPart) -> None:
    (tmp_path / "catalog.json").unlink()
    log = tmp_path / "api.log"
    with pytest.raises(StartFailed, match="set VIDETTE_CATALOG_FILE"):
        await bring_up(part, log)
    assert "Traceback" not in log.read_text()
