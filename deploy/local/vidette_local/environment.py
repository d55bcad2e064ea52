"""The one place that says which variables each service of the stack is started with.

| variable | api | controller | worker | meaning |
|---|---|---|---|---|
| `VIDETTE_STACK` | x | x | x | names the state folder; marks the processes of one stack |
| `VIDETTE_DATABASE_URL` | x | x | | `postgresql+asyncpg://user:password@host:port/database` |
| `VIDETTE_DATABASE_STATEMENT_CACHE` | x | x | | no PgBouncer stands before the stack's own database |
| `VIDETTE_STORE_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY`, `_SECRET_KEY`, `_REGION` | x | x | | the S3 store |
| `VIDETTE_NATS_URL` | x | x | | `nats://token@host:port` |
| `VIDETTE_TOKEN_SECRET` | x | x | | signs the workers' tokens, 32 bytes and more |
| `VIDETTE_CATALOG_FILE` | x | | | the models that there are |
| `VIDETTE_HTTP_HOST`, `VIDETTE_HTTP_PORT` | x | | | the public address |
| `VIDETTE_GATEWAY_HOST`, `VIDETTE_GATEWAY_PORT` | x | | | the workers' address |
| `VIDETTE_SHUTDOWN_S` | x | | | how long requests under way may take to end when the stack stops |
| `VIDETTE_GATEWAY_URL` | | x | | the same as a URL; the controller hands it to workers |
| `VIDETTE_TRITON_URL` | | x | | `host:port` of Triton's gRPC; the controller hands it to workers |
| `VIDETTE_JOBS_SOCKET` | | x | | the unix socket of the jobs server |
| `VIDETTE_OPS_HOST`, `VIDETTE_OPS_PORT` | | x | | the controller's health and metrics |
| `VIDETTE_MAX_RUNNING`, `_PER_TENANT` | | x | | as many jobs at once as there are cores, unless the user says otherwise |
| `VIDETTE_POD_NAME` | | | x | the worker's own name |
| `VIDETTE_METRICS_HOST`, `VIDETTE_METRICS_PORT` | | | x | loopback, any free port |

Other `VIDETTE_…` variables of the user (tuning) reach api and controller unchanged. A worker decodes hostile media: it gets
what its launch specification says and a bare environment, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vidette_local.credentials import Credentials
from vidette_local.ports import LOOPBACK

STACK = "VIDETTE_STACK"
POD_NAME = "VIDETTE_POD_NAME"
API_SHUTDOWN_S = 2
"""Who types `make down` wants it down: an upload under way is then aborted, and its row says so. `ApiPart` allows for it."""
# A worker needs no more of the machine than these.
_BARE = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
"""Keep freed megabytes for the next frame, in Triton and its clients: 452 instead of 136 requests of 1.2 MB a second."""


@dataclass(frozen=True, slots=True)
class StackAddresses:
    """Where everything of one stack is. URLs hold passwords, hence no representation."""

    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    store_endpoint: str
    store_bucket: str
    store_region: str
    triton: str
    http_port: int
    gateway_port: int
    ops_port: int
    jobs_socket: Path
    catalog: Path


def part_environment(machine: Mapping[str, str], stack_id: str) -> dict[str, str]:
    """For programs that are not ours: PostgreSQL, NATS, the store, Triton."""
    return {**machine, STACK: stack_id}


def _shared(addresses: StackAddresses, credentials: Credentials) -> dict[str, str]:
    return {
        "VIDETTE_DATABASE_URL": addresses.database_url,
        "VIDETTE_DATABASE_STATEMENT_CACHE": "100",
        "VIDETTE_STORE_ENDPOINT": addresses.store_endpoint,
        "VIDETTE_STORE_BUCKET": addresses.store_bucket,
        "VIDETTE_STORE_ACCESS_KEY": credentials.s3_access_key,
        "VIDETTE_STORE_SECRET_KEY": credentials.s3_secret_key,
        "VIDETTE_STORE_REGION": addresses.store_region,
        "VIDETTE_NATS_URL": addresses.nats_url,
        "VIDETTE_TOKEN_SECRET": credentials.token_secret,
    }


def api_environment(addresses: StackAddresses, credentials: Credentials) -> dict[str, str]:
    """What the api gets besides the machine's environment; also enough for the migration of the database."""
    return {
        **_shared(addresses, credentials),
        "VIDETTE_CATALOG_FILE": str(addresses.catalog),
        "VIDETTE_HTTP_HOST": LOOPBACK,
        "VIDETTE_HTTP_PORT": str(addresses.http_port),
        "VIDETTE_GATEWAY_HOST": LOOPBACK,
        "VIDETTE_GATEWAY_PORT": str(addresses.gateway_port),
        "VIDETTE_SHUTDOWN_S": str(API_SHUTDOWN_S),
    }


def controller_environment(addresses: StackAddresses, credentials: Credentials) -> dict[str, str]:
    """What the controller gets besides the machine's environment."""
    return {
        **_shared(addresses, credentials),
        "VIDETTE_GATEWAY_URL": f"http://{LOOPBACK}:{addresses.gateway_port}",
        "VIDETTE_TRITON_URL": addresses.triton,
        "VIDETTE_JOBS_SOCKET": str(addresses.jobs_socket),
        "VIDETTE_OPS_HOST": LOOPBACK,
        "VIDETTE_OPS_PORT": str(addresses.ops_port),
    }


def controller_defaults(cpus: int) -> dict[str, str]:
    """What suits one machine better than the controller's own defaults, which are for a cluster; the user's settings win.

    A worker keeps one core busy with decoding and its share of Triton: more at once than cores only slow each other.
    """
    caps = (
        "VIDETTE_MAX_RUNNING",
        "VIDETTE_MAX_RUNNING_PER_TENANT",
        "VIDETTE_MAX_WORKERS",
        "VIDETTE_MAX_WORKERS_PER_TENANT",
    )
    return dict.fromkeys(caps, str(max(1, cpus)))


def worker_environment(machine: Mapping[str, str], stack_id: str) -> dict[str, str]:
    """What every worker gets before its launch specification is laid over it. Its metrics port is in its log."""
    bare = {name: machine[name] for name in _BARE if name in machine}
    metrics = {"VIDETTE_METRICS_HOST": LOOPBACK, "VIDETTE_METRICS_PORT": "0"}
    return {**bare, **MALLOC, **metrics, STACK: stack_id}
