"""The embedded stack with a proxy on every connection that one of our services makes, so that each can fail by itself.

    with proxied_stack(folder) as stack, stack.ways[Way.API_NATS].during(Mode.HANG):
        ...

The supervisor runs the servers; api and controller run beside it, each as it would start them but for the addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.code_reader import add_code_pipeline
from tests.support.stacks import HASTE, free_port
from tests.support.tcp_proxy import TcpProxy
from tests.support.ways import TOLD, Way
from vidette_local import credentials
from vidette_local.assembly import assemble
from vidette_local.child import Child
from vidette_local.home import Home
from vidette_local.parts.part import running
from vidette_local.parts.s3 import s3_client
from vidette_local.parts.service import ServicePart
from vidette_local.settings import LocalSettings, PartName
from vidette_local.stack_process import StackProcess

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SERVERS = (PartName.POSTGRES, PartName.NATS, PartName.S3, PartName.TRITON)


@dataclass(frozen=True, slots=True)
class ProxiedStack:
    """A running one. `url` is the way to the api that cannot fail, `ways` are those that can."""

    servers: StackProcess
    services: Mapping[str, Child]
    ways: Mapping[Way, TcpProxy]
    health: Mapping[str, str]
    """The addresses that say whether a service is ready."""
    url: str
    store: S3Client
    database: str = field(repr=False)
    """The URL for SQLAlchemy; like `store`, straight to the server."""


@contextmanager
def proxied_stack(folder: Path, **variables: str) -> Iterator[ProxiedStack]:
    """Must be entered from the main thread, outside a running event loop."""
    home = folder / "home"
    home.mkdir(parents=True)
    add_code_pipeline(home / "models")
    only_servers = {"VIDETTE_PARTS": ",".join(_SERVERS)}
    with (
        StackProcess(home, only_servers, start_seconds=300, messages=folder / "messages") as servers,
        ExitStack() as held,
    ):
        ports: dict[str, int] = json.loads((home / "ports.json").read_text()) | {"api": free_port()}
        ways = {way: held.enter_context(TcpProxy("127.0.0.1", ports[way.server])) for way in Way}
        secrets = credentials.load_or_make(servers.home.secrets)
        settings = LocalSettings(home=home, http_port=ports["api"], parts=tuple(PartName))
        parts = {part.name: part for part in assemble(settings, Home(home), ports, secrets)}
        services: dict[str, Child] = {}
        straight: dict[str, str] = {}
        for name in TOLD:
            part = parts[name]
            assert isinstance(part, ServicePart)
            straight |= part.environment
            led = replace(part, environment=_through(part.environment, ways, ports, name) | HASTE | variables)
            services[name] = held.enter_context(running(led, folder / "logs"))
        yield ProxiedStack(
            servers=servers,
            services=services,
            ways=ways,
            health={name: f"http://{parts[name].address}/readyz" for name in services},
            url=f"http://{parts['api'].address}",
            store=s3_client(straight["VIDETTE_STORE_ENDPOINT"], secrets.s3_access_key, secrets.s3_secret_key),
            database=straight["VIDETTE_DATABASE_URL"],
        )


def _through(
    environment: Mapping[str, str], ways: Mapping[Way, TcpProxy], ports: Mapping[str, int], service: str
) -> dict[str, str]:
    """The same environment, with every address of another part behind its proxy."""
    led = dict(environment) | {"VIDETTE_STORE_WORKER_ENDPOINT": environment["VIDETTE_STORE_ENDPOINT"]}
    for variable, way in TOLD[service].items():
        straight = f"127.0.0.1:{ports[way.server]}"
        assert straight in led[variable], f"{variable} does not lead to {way.server}"
        led[variable] = led[variable].replace(straight, ways[way].address)
    return led
