"""The servers behind an installation, and the values of the chart with which a test's cluster finds them.

PostgreSQL, NATS and the S3 store are servers of the test on this machine, Triton is the embedded stack's, so that both ways of
running analyse with one and the same server. Pods reach them through doors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.cluster import Cluster
from tests.support.doors import Doors
from tests.support.helm import Values
from tests.support.servers import Databases, StoreEndpoint, nats_running
from tests.support.service_images import ServiceImages


@dataclass(frozen=True, slots=True)
class Backing:
    """What installations share, as this machine knows it. `catalog`: the models that this Triton serves."""

    databases: Databases
    store: StoreEndpoint
    triton: str
    catalog: Path

    @contextmanager
    def seen_through(self, doors: Doors, folder: Path) -> Iterator[Seen]:
        """As the pods of one installation have to be told of them. A database and a NATS are its own: controllers of two
        releases that share their rows would take the Jobs of each other for lost."""
        with self.databases.own() as database, nats_running(folder / "nats") as nats:
            store = {"bucket": self.store.bucket, "region": self.store.region}
            secrets = {
                "database-url": _through(doors, database),
                "nats-url": _through(doors, nats.url),
                "store-access-key": self.store.access_key,
                "store-secret-key": self.store.secret_key,
                "token-secret": "of-the-tests-" + uuid4().hex,
                "triton-control-secret": uuid4().hex,
            }
            yield Seen({**store, "endpoint": _through(doors, self.store.endpoint)}, doors.to(self.triton), secrets)


def _through(doors: Doors, url: str) -> str:
    address = url.partition("://")[2].rpartition("@")[2].partition("/")[0]
    return url.replace(address, doors.to(address))


@dataclass(frozen=True, slots=True)
class Seen:
    """Backing servers through doors: values of the chart for the store, Triton's address, the keys of the Secret."""

    store: dict[str, str]
    triton: str
    secrets: dict[str, str] = field(repr=False)


def merged(values: Values, others: Values) -> dict[str, Any]:
    """As Helm lays values over values: maps are joined, everything else is replaced."""
    both = dict(values)
    for key, value in others.items():
        before = both.get(key)
        both[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return both


def secret_of(namespace: str, seen: Seen) -> dict[str, Any]:
    metadata = {"name": "vidette", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": seen.secrets}


def values_for(cluster: Cluster, images: ServiceImages, seen: Seen, settings: dict[str, str]) -> Values:
    """All that the chart has to be told; `settings` are variables of docs/settings.md."""
    return merged(_values(images, seen, settings), {"networkPolicy": _paths(cluster, seen)})


def _values(images: ServiceImages, seen: Seen, settings: dict[str, str]) -> Values:
    """A test's node is small: one pod of each, and room for two jobs beside everything else."""
    small = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    worker = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "5Gi"}}
    return {
        "existingSecret": "vidette",
        "settings": settings,
        "store": seen.store,
        "api": {"image": images.api, "replicas": 1, "resources": small, "preStopSeconds": 1},
        "controller": {"image": images.controller, "replicas": 1, "resources": small},
        "worker": {"image": images.frame_worker, "resources": worker},
        "migrations": {"resources": small},
        "models": {"source": "configMap", "existingConfigMap": "vidette-catalog", "image": images.models},
        "triton": {"enabled": False, "external": {"address": seen.triton}},
    }


def _paths(cluster: Cluster, seen: Seen) -> Values:
    """Where the network policies have to let pods through: the doors on this machine, each by its port."""

    def door(address: str) -> dict[str, Any]:
        host, _, port = address.rpartition("://")[2].rpartition("@")[2].partition("/")[0].rpartition(":")
        return {"to": [{"ipBlock": {"cidr": f"{host}/32"}}], "port": int(port)}

    paths = {
        "database": door(seen.secrets["database-url"]),
        "nats": door(seen.secrets["nats-url"]),
        "store": door(seen.store["endpoint"]),
        "externalTriton": door(seen.triton),
    }
    if cluster.is_ours:
        # Names are served by the node itself.
        paths["dns"] = {"to": [{"ipBlock": {"cidr": f"{cluster.status()['node_address']}/32"}}]}
    return paths
