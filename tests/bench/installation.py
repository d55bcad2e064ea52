"""A real installation for a benchmark: PostgreSQL, NATS and the embedded store, and the api as a process of its own.

Made of the same parts as the tests and the embedded stack, in a temporary folder, and ended with the block. There is no
controller: a benchmark that runs workers claims its jobs itself, so that nothing but what is measured takes its turn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from pydantic import SecretStr

from tests.support.public_api import CATALOG
from tests.support.servers import StoreEndpoint, nats_running, part_environment, postgres_running, s3_running
from vidette_core.domain.pipelines import Catalog
from vidette_core.settings import TokenSettings
from vidette_core.tokens import Tokens
from vidette_local.parts.part import running
from vidette_local.parts.service import ApiPart
from vidette_local.ports import LOOPBACK, load_or_pick

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SECRET = "the-benchmarks-secret-of-32-bytes-and-more"


@dataclass(frozen=True, slots=True)
class Api:
    """A running api: its process, the public port on the loopback, and the gateway's URL."""

    pid: int
    port: int
    gateway_url: str


@dataclass(frozen=True, slots=True)
class Installation:
    """Where everything is. `servers` are the process ids of the database, the broker and the store."""

    folder: Path
    database_url: str = field(repr=False)
    store: StoreEndpoint
    api: Api
    servers: tuple[int, ...]
    environment: Mapping[str, str] = field(repr=False)
    """What the api was started with, without its ports."""

    def tokens(self) -> Tokens:
        return Tokens(TokenSettings(secret=SecretStr(_SECRET)))

    def upload(self, path: Path, key: str, transfer: TransferConfig | None = None) -> None:
        """boto3's own `upload_file`, with the default transfer or another."""
        self._s3().upload_file(str(path), self.store.bucket, key, Config=transfer or TransferConfig())

    def delete(self, key: str) -> None:
        self._s3().delete_object(Bucket=self.store.bucket, Key=key)

    def presigned(self, key: str) -> str:
        """An address from which the object can be read for an hour."""
        params = {"Bucket": self.store.bucket, "Key": key}
        return self._s3().generate_presigned_url("get_object", params, 3600)

    def _s3(self) -> S3Client:
        # Checksums as our own adapter has them: half of the S3-compatible stores refuse the default.
        config = Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=32,
        )
        return boto3.client(
            "s3",
            endpoint_url=self.store.endpoint,
            region_name=self.store.region,
            aws_access_key_id=self.store.access_key,
            aws_secret_access_key=self.store.secret_key,
            config=config,
        )


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards; PostgreSQL, which may run as another user, can pass through it."""
    with tempfile.TemporaryDirectory(prefix="vidette-bench-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        yield folder


@contextmanager
def installation(folder: Path, catalog: Path | None = None, **variables: str) -> Iterator[Installation]:
    """Everything up. `catalog` is the file of a model repository, else one without real models; `variables` reach the api."""
    with ExitStack() as held:
        postgres = held.enter_context(postgres_running(folder, max_connections="60"))
        nats = held.enter_context(nats_running(folder))
        store = held.enter_context(s3_running(folder))
        environment = {
            **part_environment(),
            "VIDETTE_DATABASE_URL": postgres.url(),
            "VIDETTE_DATABASE_STATEMENT_CACHE": "100",  # as in the embedded stack
            "VIDETTE_STORE_ENDPOINT": store.endpoint,
            "VIDETTE_STORE_BUCKET": store.bucket,
            "VIDETTE_STORE_ACCESS_KEY": store.access_key,
            "VIDETTE_STORE_SECRET_KEY": store.secret_key,
            "VIDETTE_STORE_REGION": store.region,
            "VIDETTE_NATS_URL": nats.url,
            "VIDETTE_TOKEN_SECRET": _SECRET,
            "VIDETTE_CATALOG_FILE": str(catalog or _made_up_catalog(folder)),
            **variables,
        }
        api = held.enter_context(api_running(folder, "api", environment))
        servers = (postgres.child.pid, nats.child.pid, store.child.pid)
        yield Installation(folder, postgres.url(), store, api, servers, environment)


@contextmanager
def api_running(folder: Path, name: str, environment: Mapping[str, str]) -> Iterator[Api]:
    """The api as a process of its own, on any free ports; with `Installation.environment`, beside the first one."""
    ports = load_or_pick(folder / f"{name}-ports.json", ["http", "gateway"])
    listen = {
        "VIDETTE_HTTP_HOST": LOOPBACK,
        "VIDETTE_HTTP_PORT": str(ports["http"]),
        "VIDETTE_GATEWAY_HOST": LOOPBACK,
        "VIDETTE_GATEWAY_PORT": str(ports["gateway"]),
    }
    with running(
        ApiPart(name, "vidette_api", ports["http"], folder, {**environment, **listen}), folder / "logs"
    ) as child:
        yield Api(child.pid, ports["http"], f"http://{LOOPBACK}:{ports['gateway']}")


def _made_up_catalog(folder: Path) -> Path:
    path = folder / "catalog.json"
    path.write_text(Catalog.model_dump_json(CATALOG))
    return path
