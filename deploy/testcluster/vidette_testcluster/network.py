"""The network of one cluster: a namespace of its own, one link to the host, and addresses that meet no others.

There is no route from the namespace to anything but the host, on purpose: what a test needs has to be on this machine, and a
pull from a registry fails at once instead of after a minute.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from vidette_testcluster.errors import ClusterError
from vidette_testcluster.processes import run
from vidette_testcluster.state import take_lock

TEST_NETWORK = IPv4Network("198.18.0.0/15")  # RFC 2544, appendix C.2.2: for tests of networks, routed nowhere
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of one cluster, all from the /22 with the number `slot`."""

    slot: int

    @property
    def whole(self) -> IPv4Network:
        return IPv4Network((int(TEST_NETWORK.network_address) + self.slot * 1024, 22))

    def _quarter(self, number: int) -> IPv4Network:
        return IPv4Network((int(self.whole.network_address) + number * 256, 24))

    @property
    def link(self) -> IPv4Network:
        return self._quarter(0)

    @property
    def pods(self) -> IPv4Network:
        return self._quarter(1)

    @property
    def services(self) -> IPv4Network:
        return self._quarter(2)

    @property
    def host_address(self) -> IPv4Address:
        """The host as the cluster sees it: servers that listen here (or on 0.0.0.0) can be reached from pods."""
        return self.link[1]

    @property
    def node_address(self) -> IPv4Address:
        """The node as the host sees it: API server, node ports, DNS."""
        return self.link[2]

    @property
    def api_service(self) -> IPv4Address:
        """What `kubernetes.default.svc` resolves to: the API server takes the first address of its Services."""
        return self.services[1]


def choose(taken: Iterable[IPv4Network]) -> Network:
    """The first /22 that overlaps nothing the host already routes."""
    taken = list(taken)
    for slot in range(TEST_NETWORK.num_addresses // 1024):
        network = Network(slot)
        if not any(network.whole.overlaps(other) for other in taken):
            return network
    raise ClusterError(f"every part of {TEST_NETWORK} is in use on this machine: take a cluster down, or free a route")


def routed() -> list[IPv4Network]:
    """What the host has routes to, default routes aside."""
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"], "reading the host's routes"))
    found = []
    for route in routes:
        with suppress(ValueError):  # "default" and the like are no networks
            found.append(IPv4Network(route["dst"], strict=False))
    return [network for network in found if network.prefixlen > 0]


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two clusters that start together must not choose the same addresses. Locks a folder that is always there."""
    handle = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    try:
        take_lock(handle, "the choice of addresses", time.monotonic() + 60)
        yield
    finally:
        os.close(handle)


def create(name: str, link: str) -> Network:
    """Make namespace, link and routes; the addresses are taken as soon as this returns."""
    with _one_at_a_time():
        network = choose(routed())
        length = network.link.prefixlen
        steps = [
            ["netns", "add", name],
            ["-n", name, "link", "set", "lo", "up"],
            ["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name],
            ["address", "add", f"{network.host_address}/{length}", "dev", link],
            ["link", "set", link, "up"],
            ["-n", name, "address", "add", f"{network.node_address}/{length}", "dev", "eth0"],
            ["-n", name, "link", "set", "eth0", "up"],
            ["route", "add", str(network.pods), "via", str(network.node_address)],
            ["route", "add", str(network.services), "via", str(network.node_address)],
        ]
        for step in steps:
            run(["ip", *step], "making the cluster's network")
    forward = ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]  # of the namespace: the kernel keeps one for each
    run([*inside(name), *forward], "letting the node forward packets of its pods")
    return network


def inside(name: str) -> list[str]:
    """The command that runs another in the namespace. Not `ip netns exec`: that hides the cgroup file systems."""
    return ["nsenter", f"--net={NAMESPACES / name}", "--"]


def exists(name: str, link: str) -> bool:
    return (NAMESPACES / name).exists() or Path("/sys/class/net", link).exists()


def remove(name: str, link: str) -> None:
    """Take away what `create` made, as far as it came."""
    if Path("/sys/class/net", link).exists():
        run(["ip", "link", "delete", link], "removing the cluster's link")
    if (NAMESPACES / name).exists():
        run(["ip", "netns", "delete", name], "removing the cluster's network namespace")
