"""The test cluster is a real one, and nothing of it stays: otherwise no other test here could be believed, or repeated."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import HOSTROOT, Cluster, CommandFailed, host_python, own_cluster, run_testcluster
from tests.support.processes import is_alive, wait_until

pytestmark = pytest.mark.own_cluster
PROBE = """
import socket, sys, urllib.request
print(socket.gethostbyname(sys.argv[1]))
print(urllib.request.urlopen(sys.argv[2], timeout=10).read().decode())
try:
    socket.gethostbyname("example.com")
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""


@contextmanager
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def server_on(address: str, answer: str) -> Iterator[str]:
    """The URL of a server of this host that gives the answer to any GET."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

    with http.server.ThreadingHTTPServer((address, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{address}:{server.server_address[1]}/"
        finally:
            server.shutdown()


def python_pod(name: str, code: str, *arguments: str) -> dict[str, Any]:
    volumes, mounts = host_python()
    container = {
        "name": "main",
        "image": HOSTROOT,
        "imagePullPolicy": "Never",
        "command": [sys.executable, "-c", code, *arguments],
        "volumeMounts": mounts,
    }
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def phase(cluster: Cluster, space: str, pod: str) -> str:
    return str(cluster.get("pod", pod, "-n", space)["status"]["phase"])


def traces(told: dict[str, Any]) -> list[str]:
    """What the machine still has of this cluster."""
    name, state = told["name"], str(Path(told["kubeconfig"]).parent)
    # Right below each hierarchy's root: a deeper look would walk into folders that go away just then.
    roots = Path("/sys/fs/cgroup")
    found = [str(folder) for pattern in (name, f"*/{name}") for folder in roots.glob(pattern)]
    found += [
        line for line in subprocess.check_output(["ip", "-o", "link"], text=True).splitlines() if name[-8:] in line
    ]
    found += [str(path) for path in (Path("/run/netns") / name, Path(state)) if path.exists()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mounts, words = (process / "mountinfo").read_text(), (process / "cmdline").read_bytes()
        except OSError:
            continue  # ended while we looked
        if state in mounts or (state.encode() in words and int(process.name) != os.getpid()):
            found.append(f"process {process.name}: {words.decode(errors='replace')}")
    return found


def test_a_pod_runs_this_python_finds_a_service_by_name_and_reaches_the_host(cluster: Cluster) -> None:
    assert cluster.host_address is not None
    with namespace(cluster) as space, server_on(cluster.host_address, "the host answers") as url:
        cluster.kubectl("create", "service", "clusterip", "somewhere", "--tcp=80", "-n", space)
        address = cluster.get("service", "somewhere", "-n", space)["spec"]["clusterIP"]
        cluster.apply(
            {**python_pod("probe", PROBE, "somewhere", url)} | {"metadata": {"name": "probe", "namespace": space}}
        )
        wait_until(lambda: phase(cluster, space, "probe") in ("Succeeded", "Failed"), 60, "the pod ended")
        assert cluster.kubectl("logs", "probe", "-n", space).split("\n") == [address, "the host answers", "True", ""]


def test_nothing_is_left_when_parts_were_killed_and_pods_still_run(cluster: Cluster) -> None:
    with own_cluster() as second:
        told = second.status()
        assert told["node_address"] != cluster.status()["node_address"]
        second.apply(python_pod("sleeper", "import time; time.sleep(3600)"))
        wait_until(lambda: phase(second, "default", "sleeper") == "Running", 60, "the pod runs")
        assert traces(told)
        for part in ("mounts", "containerd", "kubelet", "etcd"):
            os.kill(told["parts"][part]["pid"], signal.SIGKILL)
        second.command("down")
        assert traces(told) == []
        second.command("down")  # nothing to do is no error


def test_a_cluster_goes_when_the_process_it_was_for_is_killed() -> None:
    with tempfile.TemporaryDirectory() as parent:
        state = Path(parent, "state")
        owner = subprocess.Popen(["sleep", "600"])
        try:
            run_testcluster(state, "up", "--control-plane-only", "--until", str(owner.pid))
            told = json.loads(run_testcluster(state, "status", "--json"))
            owner.kill()
            owner.wait()
            wait_until(lambda: traces(told) == [], 30, "the cluster is gone")
        finally:
            owner.kill()
            owner.wait()
            run_testcluster(state, "down")


def test_a_part_that_ends_at_once_shows_its_log_and_can_be_cleared_away() -> None:
    with tempfile.TemporaryDirectory() as parent:
        state = Path(parent, "state")
        with pytest.raises(CommandFailed, match=r"(?s)kube-apiserver ended before.*no-such-flag"):
            run_testcluster(state, "up", "--control-plane-only", "--argument", "kube-apiserver=--no-such-flag=1")
        told = json.loads(run_testcluster(state, "status", "--json"))
        assert traces(told)
        run_testcluster(state, "down")
        assert traces(told) == []


def test_the_api_server_can_be_taken_away_and_brought_back_with_everything_it_knew() -> None:
    with own_cluster("--control-plane-only") as cluster:
        cluster.kubectl("create", "namespace", "remembered")
        before = cluster.status()["parts"]
        cluster.command("stop", "kube-apiserver")
        cluster.command("stop", "etcd", "--kill")
        with pytest.raises(CommandFailed, match="refused"):
            cluster.kubectl("get", "namespaces")
        cluster.command("start", "etcd")
        cluster.command("start", "kube-apiserver")
        wait_until(lambda: _knows(cluster, "remembered"), 60, "the API server answers again")
        after = cluster.status()["parts"]
        assert {name for name in before if before[name]["pid"] != after[name]["pid"]} >= {"etcd", "kube-apiserver"}
        assert all(is_alive(part["pid"]) for part in after.values())


def _knows(cluster: Cluster, name: str) -> bool:
    try:
        return name in cluster.kubectl("get", "namespaces", "-o", "name")
    except CommandFailed:
        return False
