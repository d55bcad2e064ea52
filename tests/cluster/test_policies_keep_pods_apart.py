"""The chart's NetworkPolicies: for each pair of parts and each port, whether one comes through, with the policies and without.

What enforces them is our own reading of the specification (tests/support/policy_rules.py), on a network that enforces nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster
from tests.support.doors import Doors
from tests.support.helm import rendered
from tests.support.installation import RESTRICTED, Installation, eventually
from tests.support.policy_enforcer import enforcing
from tests.support.service_images import ServiceImages
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette_core.adapters.kube.names import COMPONENT, RELEASE

pytestmark = pytest.mark.own_cluster
PORTS = (8000, 8001, 8002, 8003)
OUTSIDE = ("database", "nats", "store", "kubernetes", "elsewhere")
DNS = ("dns", 53)
PARTS = ("api", "controller", "worker", "triton", "migrations", "test", "ingress", "monitoring", "stranger")
SERVED = {("api", 8000), ("api", 8001), ("controller", 8002), ("worker", 8003), ("triton", 8001), ("triton", 8002)}
Place = tuple[str, int]

MAY: dict[str, set[Place]] = {
    "worker": {("api", 8001), ("triton", 8001), ("store", 0), DNS},
    "api": {("database", 0), ("nats", 0), ("store", 0), DNS},
    "controller": {("database", 0), ("nats", 0), ("store", 0), ("kubernetes", 0), DNS},
    "triton": set(),
    "migrations": {("database", 0), DNS},
    "test": {("api", 8000), ("kubernetes", 0), DNS},
}
"""All that those who are isolated may reach."""
LET_IN: dict[str, set[Place]] = {
    "ingress": {("api", 8000)},
    "monitoring": {("api", 8001), ("controller", 8002), ("worker", 8003), ("triton", 8002)},
    "stranger": set(),
}
"""Of the isolated parts, what those may reach who are not isolated themselves; of everything else they may reach all."""
ISOLATED = set(MAY)
LISTEN = """
import socket, sys, time
kept = []
for port in map(int, sys.argv[1:]):
    kept.append(socket.create_server(("0.0.0.0", port)))
print("listening", flush=True)
time.sleep(3600)
"""
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(place):
    try:
        socket.create_connection((place[1], place[2]), 2).close()
    except OSError:
        return False
    return True
def knows_names(address):
    names = b"".join(bytes([len(name)]) + name for name in b"kubernetes default svc cluster local".split())
    question = b"\\x00\\x01\\x01\\x00\\x00\\x01" + bytes(6) + names + b"\\x00\\x00\\x01\\x00\\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        try:
            asking.sendto(question, (address, 53))
            return asking.recv(512)[:2] == b"\\x00\\x01"
        except OSError:
            return False
places, dns = json.loads(sys.argv[1]), sys.argv[2]
with ThreadPoolExecutor(40) as pool:
    found = dict(zip((place[0] for place in places), pool.map(reaches, places)))
print(json.dumps({**found, "dns:53": knows_names(dns)}))
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A namespace with a pod for each part, which listens on all ports, and servers outside of it."""

    cluster: Cluster
    namespace: str
    places: list[tuple[str, str, int]]
    dns: str

    def reached(self, part: str) -> set[Place]:
        """All places that a part comes through to."""
        places = [place for place in self.places if not place[0].startswith(f"{part}:")]
        command = ("exec", part, "--", "python", "-c", TRY, json.dumps(places), self.dns)
        found = json.loads(self.cluster.kubectl("-n", self.namespace, *command, limit_s=120))
        names = (name.rpartition(":") for name, through in found.items() if through)
        return {(place, int(port)) for place, _, port in names}


def everything_but(part: str) -> set[Place]:
    return (
        {(other, port) for other in PARTS if other != part for port in PORTS} | {(name, 0) for name in OUTSIDE} | {DNS}
    )


def allowed(part: str) -> set[Place]:
    if part in ISOLATED:
        return MAY[part]
    outside = {place for place in everything_but(part) if place[0] not in ISOLATED}
    return outside | LET_IN[part]


def labels(part: str, release: str) -> dict[str, str]:
    if part == "worker":
        return {"app.kubernetes.io/component": COMPONENT, RELEASE: release}
    of_vidette = {"app.kubernetes.io/name": "vidette", "app.kubernetes.io/instance": release}
    return {**of_vidette, "app.kubernetes.io/component": part} if part in ISOLATED else {"app": part}


def pod(part: str, namespace: str, image: str) -> dict[str, Any]:
    locked = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "place",
        "image": image,
        "command": ["python", "-c", LISTEN, *map(str, PORTS)],
        "securityContext": locked,
    }
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    metadata = {"name": part, "namespace": namespace, "labels": labels(part, "vidette")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def outside(ways_out: Doors) -> dict[str, tuple[str, int]]:
    """A server of this machine for each that is not in the cluster; what they lead to does not matter."""
    found = {}
    for name in OUTSIDE:
        host, _, port = ways_out.to("127.0.0.1:1").rpartition(":")
        found[name] = (host, int(port))
    return found


@pytest.fixture(scope="module")
def policies(cluster: Cluster, outside: dict[str, tuple[str, int]]) -> list[dict[str, Any]]:
    def to(name: str) -> dict[str, Any]:
        return {"to": [{"ipBlock": {"cidr": f"{outside[name][0]}/32"}}], "port": outside[name][1]}

    kubernetes = to("kubernetes")
    values = {
        "existingSecret": "vidette",
        "nats": {"url": "nats://nats:4222"},
        "store": {"endpoint": "http://store:9000"},
        "networkPolicy": {
            **{name: to(name) for name in ("database", "nats", "store")},
            "dns": {"to": [{"ipBlock": {"cidr": f"{cluster.status()['node_address']}/32"}}]},
            "kubernetesApi": {"to": kubernetes["to"], "ports": [kubernetes["port"]]},
            "clients": {"from": [{"podSelector": {"matchLabels": {"app": "ingress"}}}]},
            "monitoring": {"from": [{"podSelector": {"matchLabels": {"app": "monitoring"}}}]},
        },
    }
    return [entry for entry in rendered(cluster, values) if entry["kind"] == "NetworkPolicy"]


@pytest.fixture(scope="module")
def field(
    cluster: Cluster,
    images: ServiceImages,
    outside: dict[str, tuple[str, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Field]:
    name = f"field-{uuid4().hex[:8]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    cluster.apply(*(pod(part, name, images.frame_worker) for part in PARTS))
    try:
        cluster.kubectl("-n", name, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s", limit_s=100)
        pods = cluster.get("-n", name, "pods")["items"]
        places = [
            (f"{entry['metadata']['name']}:{port}", entry["status"]["podIP"], port) for entry in pods for port in PORTS
        ]
        places += [(f"{name}:0", host, port) for name, (host, port) in outside.items()]
        with enforcing(cluster, tmp_path_factory.mktemp("enforcer") / "log"):
            yield Field(cluster, name, places, cluster.status()["node_address"])
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("part", PARTS)
def test_without_policies_everybody_reaches_everything(field: Field, part: str) -> None:
    """The control: whatever is closed below is open otherwise."""
    assert field.reached(part) == everything_but(part)


@pytest.fixture(scope="module")
def closed(field: Field, policies: list[dict[str, Any]]) -> Iterator[Field]:
    assert len(policies) == len(ISOLATED)
    for policy in policies:
        policy["metadata"]["namespace"] = field.namespace
    field.cluster.apply(*policies)
    time.sleep(3)  # the enforcer looks twice a second
    yield field
    field.cluster.kubectl("-n", field.namespace, "delete", "networkpolicies", "--all")


@pytest.mark.parametrize("part", PARTS)
def test_with_them_a_part_reaches_what_it_needs_and_nothing_else(closed: Field, part: str) -> None:
    assert closed.reached(part) == allowed(part)


def test_what_nobody_needs_is_open_to_nobody() -> None:
    """Of the table above itself: each port of an isolated part that somebody reaches is one that it serves."""
    open_ports = {place for places in (*MAY.values(), *LET_IN.values()) for place in places if place[0] in ISOLATED}
    assert open_ports <= SERVED


def test_a_video_goes_through_an_installation_whose_policies_are_enforced(
    vidette: Installation, through: Client, tmp_path: Path
) -> None:
    with enforcing(vidette.cluster, tmp_path / "log"):
        job_id = through.submit(numbered_clip(tmp_path, 8), PIPELINE_ID)
        assert numbers(completed(through, job_id)) == [(index, index) for index in range(8)]
        pods = vidette.pods(job_id)
        assert pods, "the Job is kept for an hour"
        eventually(lambda: vidette.jobs(job_id)[0]["status"].get("succeeded"), "the Job's end")


def test_hooks_come_through_where_all_is_denied_that_no_policy_allows(vidette: Installation, tmp_path: Path) -> None:
    """Migrations run before the release's own objects are there, and `helm test` beside them: each has a policy of its own."""
    deny = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": vidette.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    with enforcing(vidette.cluster, tmp_path / "log"):
        vidette.cluster.apply(deny)
        try:
            vidette.helm.upgrade(vidette.values)
            assert "every frame is there once" in vidette.helm.run(
                "test", vidette.helm.release, "--logs", "--timeout=240s", limit_s=250
            )
        finally:
            vidette.kubectl("delete", "networkpolicy", "deny")
