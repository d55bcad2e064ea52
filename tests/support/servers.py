"""Real servers for tests: PostgreSQL, NATS and two S3 stores, each started at most once per test session.

Use them by naming the fixture; register this module once, in `tests/conftest.py`:

    pytest_plugins = ["tests.support.servers"]

| fixture | scope | what it gives |
|---|---|---|
| `postgres_server` | session | `PostgresServer`: the running server and `url(database)` |
| `postgres_url` | function | URL (`postgresql+asyncpg://…`) of a fresh database, cloned from the migrated template |
| `module_postgres_url` | module | the same, for tests that do not mind each other's rows |
| `postgres_databases` | session | the server and that template: `own()` makes such a database for as long as a block lasts |
| `empty_postgres_url` | function | the same, without any table |
| `nats_url` | session | URL with the token in it, JetStream on; use stream and consumer names of your own |
| `s3` | session | `StoreEndpoint` of the store that the embedded stack runs (JuiceFS), its bucket made |
| `seaweedfs` | session | `StoreEndpoint` of a second implementation |

All listen on 127.0.0.1 on ports of their own and end with the test process, also when it is killed. To start one for a
single test (to stop, kill or restart it), use the context managers below: `postgres_running`, `nats_running`, `s3_running`.
They must be entered from the main thread, outside a running event loop: in a fixture or a synchronous test.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from tests.support.seaweed import SeaweedPart
from vidette_local.child import Child
from vidette_local.parts.nats import NatsPart
from vidette_local.parts.part import running
from vidette_local.parts.postgres import PostgresPart
from vidette_local.parts.s3 import REGION, S3Part
from vidette_local.ports import load_or_pick

_TEMPLATE = "template_vidette"
_EMPTY = "template1"


def part_environment() -> dict[str, str]:
    """The environment for a part that is started by a test: the machine's own, without settings of the stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VIDETTE_")}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    part: PostgresPart
    child: Child

    def url(self, database: str = "vidette") -> str:
        return self.part.url(database)


@dataclass(frozen=True, slots=True)
class Databases:
    """A server, and the name of the migrated database that others are cloned from."""

    server: PostgresServer
    template: str

    @contextmanager
    def own(self) -> Iterator[str]:
        """The URL of a fresh database, which is dropped at the end."""
        with _database(self.server, self.template) as url:
            yield url


@dataclass(frozen=True, slots=True)
class NatsServer:
    part: NatsPart
    child: Child

    @property
    def url(self) -> str:
        return self.part.url()


@dataclass(frozen=True, slots=True)
class StoreEndpoint:
    """What an S3 client needs. `child` is the server's process."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    child: Child


def _port(folder: Path, name: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return load_or_pick(folder / f"{name}-port.json", [name])[name]


@contextmanager
def postgres_running(folder: Path, **settings: str) -> Iterator[PostgresServer]:
    """A server with its cluster under `folder`; `settings` are server settings. Durability is off unless asked for."""
    fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    part = PostgresPart(
        folder / "postgres", _port(folder, "postgres"), "test", part_environment(), {**fast, **settings}
    )
    with running(part, folder / "logs") as child:
        yield PostgresServer(part, child)


@contextmanager
def nats_running(folder: Path) -> Iterator[NatsServer]:
    part = NatsPart(folder / "nats", _port(folder, "nats"), "test-token", part_environment())
    with running(part, folder / "logs") as child:
        yield NatsServer(part, child)


@contextmanager
def s3_running(folder: Path) -> Iterator[StoreEndpoint]:
    part = S3Part(folder / "s3", _port(folder, "s3"), "testaccess", "test-secret-key", part_environment())
    with running(part, folder / "logs") as child:
        yield StoreEndpoint(part.endpoint, part.bucket, part.access_key, part.secret_key, REGION, child)


@contextmanager
def seaweedfs_running(folder: Path) -> Iterator[StoreEndpoint]:
    names = ["s3", "master", "volume", "filer", "s3_grpc", "master_grpc", "volume_grpc", "filer_grpc"]
    folder.mkdir(parents=True, exist_ok=True)
    ports = load_or_pick(folder / "seaweedfs-ports.json", names)
    part = SeaweedPart(folder / "seaweedfs", ports, "testaccess", "test-secret-key", part_environment())
    with running(part, folder / "logs") as child:
        yield StoreEndpoint(part.endpoint, part.bucket, part.access_key, part.secret_key, REGION, child)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_running(tmp_path_factory.mktemp("postgres"), max_connections="100") as server:
        yield server


@pytest.fixture(scope="session")
def _template(postgres_server: PostgresServer) -> str:
    """The database that every test's own is cloned from, migrated as the embedded stack does it."""
    asyncio.run(_administer(postgres_server, f"CREATE DATABASE {_TEMPLATE}"))
    subprocess.run(
        [sys.executable, "-m", "vidette_core.adapters.postgres.migrate"],
        env={**part_environment(), "VIDETTE_DATABASE_URL": postgres_server.url(_TEMPLATE)},
        check=True,
        timeout=120,
    )
    return _TEMPLATE


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, _template: str) -> Iterator[str]:
    with _database(postgres_server, _template) as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: PostgresServer, _template: str) -> Iterator[str]:
    with _database(postgres_server, _template) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: PostgresServer, _template: str) -> Databases:
    return Databases(postgres_server, _template)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with _database(postgres_server, _EMPTY) as url:
        yield url


@contextmanager
def _database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    # FILE_COPY of a small template is several times faster than the default, which writes the copy to the log.
    asyncio.run(_administer(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
    try:
        yield server.url(name)
    finally:
        asyncio.run(_administer(server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _administer(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""), timeout=10, ssl=False)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nats_running(tmp_path_factory.mktemp("nats")) as server:
        yield server.url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreEndpoint]:
    with s3_running(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreEndpoint]:
    with seaweedfs_running(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint
