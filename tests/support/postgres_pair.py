"""A PostgreSQL with a synchronous standby, behind one address, and the moment in which the standby takes over.

    with postgres_pair(folder) as pair:
        connect(pair.url)
        await pair.fail_over()

What was committed at the first is at the second: a commit is answered when the standby has it. Must be entered from the main
thread, outside a running event loop.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.support.servers import PostgresServer, part_environment, postgres_running
from tests.support.tcp_proxy import TcpProxy
from vidette_local.child import exec_argv
from vidette_local.parts.postgres import USER, binary
from vidette_local.privileges import give_to_unprivileged

_LIMIT_S = 60
_SETTINGS = {"synchronous_commit": "remote_apply", "full_page_writes": "on"}
_ADMIN = "postgres"


@dataclass(slots=True)
class Pair:
    first: PostgresServer
    second: PostgresServer
    way: TcpProxy

    @property
    def url(self) -> str:
        """Of whichever is the one in charge."""
        return self.first.url().replace(self.first.part.address, self.way.address)

    async def fail_over(self, pause_s: float = 1.0) -> None:
        """The first is killed, and all connections with it; for `pause_s` there is no server; then the second is promoted.

        Returns when the address leads to the second.
        """
        self.first.child.kill()
        await self.first.child.wait()
        port = self.way.port
        await asyncio.to_thread(self.way.stop)
        await asyncio.sleep(pause_s)
        await _ask(self.second, f"SELECT pg_promote(wait_seconds => {_LIMIT_S})")
        self.way = _way_to(self.second, port)
        await asyncio.to_thread(self.way.start)


@contextmanager
def postgres_pair(folder: Path) -> Iterator[Pair]:
    """Both with an empty database of the stack's name."""
    with postgres_running(folder / "first", **_SETTINGS) as first:
        _copy(first, folder / "second" / "postgres")
        with postgres_running(folder / "second", **_SETTINGS) as second:
            asyncio.run(_become_synchronous(first))
            pair = Pair(first, second, _way_to(first, 0))
            pair.way.start()
            try:
                yield pair
            finally:
                pair.way.stop()


def _way_to(server: PostgresServer, local_port: int) -> TcpProxy:
    return TcpProxy("127.0.0.1", server.part.port, local_port=local_port)


def _copy(first: PostgresServer, folder: Path) -> None:
    """A cluster that follows the first one as soon as it is started."""
    folder.mkdir(mode=0o711, parents=True)
    give_to_unprivileged(folder)
    where = f"host=127.0.0.1 port={first.part.port} user={USER} password={first.part.password} sslmode=disable"
    argv = [binary("pg_basebackup"), "-d", where, "-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast"]
    done = subprocess.run(
        exec_argv(argv, unprivileged=True),
        env=part_environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def _become_synchronous(first: PostgresServer) -> None:
    await _ask(first, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    await _ask(first, "SELECT pg_reload_conf()")
    async with asyncio.timeout(_LIMIT_S):
        while not await _ask(first, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
            await asyncio.sleep(0.1)


async def _ask(server: PostgresServer, statement: str) -> object:
    url = urlsplit(server.url(_ADMIN))
    connection = await asyncpg.connect(
        host=url.hostname, port=url.port, user=USER, password=server.part.password, database=_ADMIN, ssl=False
    )
    try:
        return await connection.fetchval(statement, timeout=_LIMIT_S + 10)
    finally:
        await connection.close()
