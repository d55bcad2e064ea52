"""NetworkPolicies as rules for nftables, by our reading of the specification (networking.k8s.io/v1).

The test cluster's network plugin enforces none, and no enforcer could be had. One node, IPv4 for pods; hosts of the cluster's own
network are told apart by address only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

TABLE = "vidette_policies"
Object = Mapping[str, Any]
_SIDES = {"egress": ("saddr", "daddr", "to"), "ingress": ("daddr", "saddr", "from")}
"""For each direction: where the policy's own pod stands in a packet, where the other one does, and the key that names it."""


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """A LabelSelector; the empty one selects everything."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(entry, labels) for entry in selector.get("matchExpressions", ()))


def _expression(entry: Object, labels: Mapping[str, str]) -> bool:
    there = entry["key"] in labels
    among = labels.get(entry["key"]) in entry.get("values", ())
    return {"In": there and among, "NotIn": not among, "Exists": there, "DoesNotExist": not there}[entry["operator"]]


class State:
    """Pods, namespaces and policies, as `kubectl get -o json` tells them."""

    def __init__(self, pods: Iterable[Object], namespaces: Iterable[Object], policies: Iterable[Object]) -> None:
        self.pods = [pod for pod in pods if _has_own_address(pod)]
        self.namespaces = {entry["metadata"]["name"]: _labels(entry) for entry in namespaces}
        self.policies = list(policies)

    def rules(self) -> str:
        """The whole table, for `nft -f -`, which replaces the one before in one step."""
        lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
        jumps: dict[str, list[str]] = {"egress": [], "ingress": []}
        for direction, (own, _, _) in _SIDES.items():
            for address, allowed in sorted(self._allowed(direction).items()):
                chain = f"{direction}-{address}"
                lines += [f"chain {chain} {{", *(f"{rule} return" for rule in allowed), "reject", "}"]
                jumps[direction].append(f"ip {own} {address} jump {chain}")
        established = "ct state established,related accept"
        # Before the filters of others and behind the translation of Services' addresses.
        lines += ["chain forward {", "type filter hook forward priority -5; policy accept;", established]
        lines += [*jumps["egress"], *jumps["ingress"], "}"]
        # What goes to the node itself. What comes from it is let in to every pod: probes do.
        lines += ["chain input {", "type filter hook input priority -5; policy accept;", established]
        lines += [*jumps["egress"], "}", "}"]
        return "\n".join(lines) + "\n"

    def _allowed(self, direction: str) -> dict[str, list[str]]:
        """For each pod that a policy isolates in this direction: the packets that pass; none, if the list is empty."""
        allowed: dict[str, list[str]] = {}
        for policy in self.policies:
            spec = policy["spec"]
            if direction.capitalize() not in spec.get(
                "policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])]
            ):
                continue
            own = self._pods_of(spec.get("podSelector", {}), policy["metadata"]["namespace"])
            passing = list(self._passing(direction, spec, policy["metadata"]["namespace"]))
            for pod in own:
                rules = allowed.setdefault(pod["status"]["podIP"], [])
                rules += [rule for rule in passing if rule not in rules]
        return allowed

    def _passing(self, direction: str, spec: Object, namespace: str) -> Iterator[str]:
        _, other, key = _SIDES[direction]
        for rule in spec.get(direction, ()):
            for peer in self._peers(rule.get(key, ()), namespace, other):
                for port in _ports(rule.get("ports", ())):
                    yield f"{peer}{port}".strip()

    def _peers(self, peers: Iterable[Object], namespace: str, side: str) -> list[str]:
        if not peers:
            return [""]
        found = []
        for peer in peers:
            if "ipBlock" in peer:
                block = peer["ipBlock"]
                family = "ip" if ip_network(block["cidr"]).version == 4 else "ip6"
                excepted = "".join(f"{family} {side} != {entry} " for entry in block.get("except", ()))
                found.append(f"{family} {side} {block['cidr']} {excepted}")
                continue
            addresses = sorted(pod["status"]["podIP"] for pod in self._peer_pods(peer, namespace))
            if addresses:
                found.append(f"ip {side} {{ {', '.join(addresses)} }} ")
        return found

    def _peer_pods(self, peer: Object, namespace: str) -> list[Object]:
        selector = peer.get("podSelector", {})
        if "namespaceSelector" not in peer:
            return self._pods_of(selector, namespace)
        names = [name for name, labels in self.namespaces.items() if selects(peer["namespaceSelector"], labels)]
        return [pod for name in names for pod in self._pods_of(selector, name)]

    def _pods_of(self, selector: Object, namespace: str) -> list[Object]:
        return [
            pod for pod in self.pods if pod["metadata"]["namespace"] == namespace and selects(selector, _labels(pod))
        ]


def _ports(ports: Iterable[Object]) -> list[str]:
    if not ports:
        return [""]
    found = []
    for entry in ports:
        protocol, port = entry.get("protocol", "TCP").lower(), entry.get("port")
        assert not isinstance(port, str), "ports by name are not read"
        last = f"-{entry['endPort']}" if "endPort" in entry else ""
        found.append(f"meta l4proto {protocol}" if port is None else f"{protocol} dport {port}{last}")
    return found


def _labels(thing: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = thing["metadata"].get("labels") or {}
    return labels


def _has_own_address(pod: Object) -> bool:
    status = pod["status"]
    return (
        bool(status.get("podIP")) and not pod["spec"].get("hostNetwork") and status["phase"] in ("Pending", "Running")
    )
