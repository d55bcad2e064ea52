"""Our own services as parts: a Python module each, ready when its `/readyz` says so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from vidette_api.settings import LAST_WORDS_S
from vidette_local.child import Command, exec_argv
from vidette_local.environment import API_SHUTDOWN_S
from vidette_local.parts.part import NotReady, StartFailed
from vidette_local.ports import LOOPBACK

_MIGRATION_SECONDS = 120
_API_LAST_WORDS_SECONDS = LAST_WORDS_S + 1.0  # and one to close its connections


@dataclass(frozen=True, slots=True)
class ServicePart:
    """`module` is run with `environment`; its health is asked at `port`."""

    name: str
    module: str
    port: int
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    start_seconds: float = 120.0
    grace_seconds: float = 5.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    async def prepare(self) -> None:
        """Nothing to make."""

    def command(self) -> Command:
        return Command(argv=(sys.executable, "-m", self.module), cwd=self.folder, env=self.environment)

    async def probe(self) -> None:
        async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
            response = await client.get(f"http://{self.address}/readyz")
        if response.status_code != 200:
            raise NotReady(f"/readyz answers {response.status_code}")


@dataclass(frozen=True, slots=True)
class ApiPart(ServicePart):
    """The api, before which the database is migrated. Migrating a database that is up to date changes nothing.

    Killed earlier than its grace period, it would leave uploads in the store, and rows that say nothing of what happened.
    """

    grace_seconds: float = API_SHUTDOWN_S + _API_LAST_WORDS_SECONDS

    async def prepare(self) -> None:
        await asyncio.to_thread(self._migrate)

    def _migrate(self) -> None:
        done = subprocess.run(
            exec_argv([sys.executable, "-m", "vidette_core.adapters.postgres.migrate"]),
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=_MIGRATION_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            cause = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise StartFailed(f"the database could not be migrated (exit code {done.returncode}): {cause[0]}")
