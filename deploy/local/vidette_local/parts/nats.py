"""NATS with JetStream out of a wheel: a token in a file that only its owner can read, never on the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nats

from vidette_local.child import Command
from vidette_local.home import write_private
from vidette_local.parts.program import program
from vidette_local.ports import LOOPBACK


@dataclass(frozen=True, slots=True)
class NatsPart:
    """`folder` holds the configuration and JetStream's store. Losing the store loses no job."""

    folder: Path
    port: int
    token: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    name = "nats"
    start_seconds = 20.0
    grace_seconds = 3.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def url(self) -> str:
        """The address with the token in it."""
        return f"nats://{self.token}@{self.address}"

    async def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Quoted as JSON: NATS' configuration language takes JSON strings, whatever the folder is called.
        lines = [
            f"listen: {json.dumps(self.address)}",
            "server_name: vidette",
            f"authorization {{ token: {json.dumps(self.token)} }}",
            f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))}, max_mem: 64MB, max_file: 1GB }}",
            "max_payload: 1MB",
        ]
        write_private(self.folder / "nats.conf", "\n".join(lines) + "\n")

    def command(self) -> Command:
        argv = (program("nats-server"), "--config", str(self.folder / "nats.conf"))
        return Command(argv=argv, cwd=self.folder, env=self.environment)

    async def probe(self) -> None:
        """Connect with the token and ask JetStream about itself."""

        async def quiet(_: Exception) -> None:
            """The client would print every refused connection while the server starts."""

        # The client waits two seconds after a refused connection; this does not.
        _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        writer.close()
        client = await nats.connect(self.url(), connect_timeout=2, allow_reconnect=False, error_cb=quiet)
        try:
            await client.jetstream(timeout=2).account_info()
        finally:
            await client.close()
