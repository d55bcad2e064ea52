"""SeaweedFS as a second S3 implementation for the blob store's tests; the embedded stack does not use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vidette_local.child import Command
from vidette_local.home import write_private
from vidette_local.parts.program import program
from vidette_local.parts.s3 import BUCKET, probe_store
from vidette_local.ports import LOOPBACK


@dataclass(frozen=True, slots=True)
class SeaweedPart:
    """All its servers in one process. `ports` has s3, master, volume and filer, each also with `_grpc`."""

    folder: Path
    ports: Mapping[str, int]
    access_key: str
    secret_key: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    bucket: str = BUCKET

    name = "seaweedfs"
    start_seconds = 60.0
    grace_seconds = 1.0  # it takes 15 s and more to leave politely, and tests keep nothing

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.ports['s3']}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    async def prepare(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {
            "name": "root",
            "credentials": credentials,
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self.folder / "s3.json", json.dumps({"identities": [identity]}))

    def command(self) -> Command:
        flags = {
            name: f"{name.removesuffix('_grpc')}.port{'.grpc' if name.endswith('_grpc') else ''}" for name in self.ports
        }
        ports = [f"-{flags[name]}={port}" for name, port in self.ports.items()]
        options = [
            *(f"-dir={self.folder / 'data'}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", "-master.telemetry=false"),
            *("-master.electionTimeout=1s", "-master.heartbeatInterval=200ms", "-master.volumeSizeLimitMB=1024"),
            *("-volume.preStopSeconds=0", "-volume.max=4000", "-volume.minFreeSpace=1", "-filer", "-s3"),
            *(
                f"-s3.config={self.folder / 's3.json'}",
                "-s3.autoCreateBucket=false",
                "-s3.allowDeleteBucketNotEmpty=false",
            ),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", *ports),
        ]
        # One volume (not seven) at a time for each bucket: buckets are cheap then.
        environment = {**self.environment, "HOME": str(self.folder), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
        return Command(argv=(program("weed"), "server", *options), cwd=self.folder, env=environment)

    async def probe(self) -> None:
        await asyncio.to_thread(probe_store, self.endpoint, self.access_key, self.secret_key, self.bucket)
