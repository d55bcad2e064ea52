"""Each server part by itself: it comes up, does its work, and ends with whoever started it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import nats
import pytest

from tests.support.servers import PostgresServer, StoreEndpoint, postgres_running, s3_running
from vidette_local.parts.s3 import s3_client


async def test_postgres_answers_over_tcp_with_a_password(empty_postgres_url: str) -> None:
    connection = await asyncpg.connect(empty_postgres_url.replace("+asyncpg", ""))
    try:
        assert await connection.fetchval("SHOW server_version_num") >= "180000"
    finally:
        await connection.close()


async def test_postgres_refuses_a_wrong_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url().replace("+asyncpg", "").replace(":test@", ":wrong@"))


async def test_nats_keeps_a_message_in_a_stream(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    try:
        stream = client.jetstream()
        await stream.add_stream(name="parts", subjects=["parts.>"])
        assert (await stream.publish("parts.one", b"hello")).seq == 1
    finally:
        await client.close()


async def test_nats_refuses_a_client_without_the_token(nats_url: str) -> None:
    with pytest.raises(nats.errors.Error):
        await nats.connect("nats://" + nats_url.partition("@")[2], allow_reconnect=False)


@pytest.mark.parametrize("store", ["s3", "seaweedfs"])
def test_stores_return_what_was_put(store: str, request: pytest.FixtureRequest) -> None:
    endpoint: StoreEndpoint = request.getfixturevalue(store)
    client = s3_client(endpoint.endpoint, endpoint.access_key, endpoint.secret_key)
    client.put_object(Bucket=endpoint.bucket, Key="parts/one", Body=b"hello")
    assert client.get_object(Bucket=endpoint.bucket, Key="parts/one")["Body"].read() == b"hello"


def test_an_interrupted_initdb_is_made_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "new-1"
    (unfinished / "data" / "base").mkdir(parents=True)
    with postgres_running(tmp_path):
        assert not unfinished.exists()


def test_a_postmaster_file_naming_a_living_process_does_not_stop_postgres(tmp_path: Path) -> None:
    with postgres_running(tmp_path) as first:
        data = first.part.folder / "data"
        lines = (data / "postmaster.pid").read_text().splitlines()
    (data / "postmaster.pid").write_text("\n".join(["1", *lines[1:]]) + "\n")
    with postgres_running(tmp_path):
        pass


def test_the_state_folder_may_be_moved(tmp_path: Path) -> None:
    with s3_running(tmp_path / "before") as endpoint:
        s3_client(endpoint.endpoint, endpoint.access_key, endpoint.secret_key).put_object(
            Bucket=endpoint.bucket, Key="kept", Body=b"x" * 100_000
        )
    (tmp_path / "before").rename(tmp_path / "after")
    with s3_running(tmp_path / "after") as endpoint:
        client = s3_client(endpoint.endpoint, endpoint.access_key, endpoint.secret_key)
        assert client.get_object(Bucket=endpoint.bucket, Key="kept")["Body"].read() == b"x" * 100_000


def test_the_shared_memory_of_a_killed_postgres_is_removed_by_the_next(tmp_path: Path) -> None:
    def shared() -> set[str]:
        return {path.name for path in (tmp_path / "postgres" / "data" / "pg_dynshmem").iterdir()}

    with postgres_running(tmp_path) as server:
        first = shared()
        assert first, "in the cluster, not in /dev/shm, where nobody would find it again"
        server.child.kill()
    assert shared() == first
    with postgres_running(tmp_path):
        assert not shared() & first
