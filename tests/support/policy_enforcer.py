"""Enforces the cluster's NetworkPolicies, as a program of its own inside of the cluster's network, until it is told to end.

python -m tests.support.policy_enforcer KUBECTL KUBECONFIG
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import REPOSITORY, Cluster
from tests.support.policy_rules import TABLE, State

_LOOK_S = 0.5
_LIMIT_S = 20.0


@contextmanager
def enforcing(cluster: Cluster, log: Path) -> Iterator[None]:
    """Policies hold within a second or two, until the end of the block. Only on a cluster of ours."""
    inside = cluster.status()["inside"]
    me = [sys.executable, "-m", "tests.support.policy_enforcer", str(cluster.program), str(cluster.kubeconfig)]
    with log.open("wb") as told:
        process = subprocess.Popen([*inside, *me], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=told, stderr=told)
        try:
            end = time.monotonic() + _LIMIT_S
            while b"in force" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait(_LIMIT_S)
            subprocess.run([*inside, "nft", "delete", "table", "inet", TABLE], check=False, timeout=_LIMIT_S)


def _items(kubectl: list[str], kind: str) -> list[dict[str, object]]:
    told = subprocess.run(
        [*kubectl, "get", kind, "-A", "-o", "json"], capture_output=True, check=True, timeout=_LIMIT_S
    )
    items: list[dict[str, object]] = json.loads(told.stdout)["items"]
    return items


def _enforce(kubectl: list[str]) -> None:
    known = ""
    while True:
        kinds = ("pods", "namespaces", "networkpolicies")
        rules = State(*(_items(kubectl, kind) for kind in kinds)).rules()
        if rules != known:
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=_LIMIT_S)
            known = rules
            print("in force", flush=True)
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    program, kubeconfig = sys.argv[1:]
    _enforce([program, f"--kubeconfig={kubeconfig}"])
