"""A real Kubernetes for tests: the one that VIDETTE_TEST_KUBECONFIG names, or one of our own that ends with the tests.

Ours comes from deploy/testcluster, is started as a program like anybody would start it, and goes when this process has ended,
even when it was killed; VIDETTE_TEST_CLUSTER_STATE names the state folder of one that is up already. Of a cluster that the user
named, nothing is assumed but an administrator's kubeconfig.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
TESTCLUSTER = REPOSITORY / "deploy" / "testcluster"
HOSTROOT = "registry.vidette.test/hostroot:1"
BUILD_AND_START_S = 7200.0  # from nothing: Kubernetes is compiled


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `host_address`: where its pods reach servers of this host, if they can; `state`: None if not ours."""

    kubeconfig: Path
    host_address: str | None
    program: Path  # kubectl
    state: Path | None = None

    def kubectl(self, *arguments: str, stdin: str | None = None, limit_s: float = 60.0) -> str:
        """What kubectl printed. Raises CommandFailed with its own words."""
        return _run([str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments], limit_s, stdin)

    def get(self, *arguments: str) -> dict[str, Any]:
        """What `kubectl get ... -o json` tells."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def apply(self, *manifests: dict[str, Any]) -> None:
        whole = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(whole))

    @property
    def is_ours(self) -> bool:
        """Whether its programs may be stopped and its node be hurt."""
        return self.state is not None

    def command(self, *arguments: str, limit_s: float = 120.0) -> str:
        """`python -m vidette_testcluster` for this cluster: status, stop, start, images. Only for one of ours."""
        assert self.state is not None, "only a cluster that the tests started may be controlled"
        return run_testcluster(self.state, *arguments, limit_s=limit_s)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.command("status", "--json"))
        return told


class CommandFailed(Exception):
    """A command ended with an error; the text is what it said."""


def _run(command: Sequence[str], limit_s: float, stdin: str | None = None) -> str:
    path = os.pathsep.join(filter(None, [str(TESTCLUSTER), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, input=stdin or "", env=environment)
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout


def run_testcluster(state: Path, *arguments: str, limit_s: float = 120.0) -> str:
    """Run the program for the cluster in this state folder. Raises CommandFailed."""
    return _run([sys.executable, "-m", "vidette_testcluster", "--state", str(state), *arguments], limit_s)


@contextmanager
def own_cluster(*options: str) -> Iterator[Cluster]:
    """A new cluster, with `up`'s options; it is gone afterwards, and also when this process is killed before."""
    state = Path(tempfile.mkdtemp(prefix="vidette-tc-"))
    try:
        run_testcluster(state, "up", "--until", str(os.getpid()), *options, limit_s=BUILD_AND_START_S)
        yield _of(state)
    finally:
        run_testcluster(state, "down")


@contextmanager
def any_cluster() -> Iterator[Cluster]:
    """The user's own cluster if the environment names one, else one of ours with a node: one that is up, or a new one."""
    named, state = os.environ.get("VIDETTE_TEST_KUBECONFIG"), os.environ.get("VIDETTE_TEST_CLUSTER_STATE")
    if named is not None:
        host = os.environ.get("VIDETTE_TEST_HOST_ADDRESS")
        yield Cluster(Path(named), host, Path(os.environ.get("VIDETTE_TEST_KUBECTL", "kubectl")))
    elif state is not None:
        yield _of(Path(state))
    else:
        with own_cluster() as cluster:
            yield cluster


def _of(state: Path) -> Cluster:
    told = json.loads(run_testcluster(state, "status", "--json"))
    return Cluster(Path(told["kubeconfig"]), told["host_address"], Path(told["kubectl"]), state)


def host_python() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts with which a pod of HOSTROOT runs this very Python and this checkout, read-only.

    The command in the pod is `sys.executable`, the paths are the same inside as outside. Needs a node on this machine.
    """
    wanted = [Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), REPOSITORY]
    folders: list[Path] = []
    for folder in wanted:
        if not any(folder.is_relative_to(other) for other in [*folders, *wanted] if other != folder):
            folders.append(folder)
    names = {f"host-{number}": str(folder) for number, folder in enumerate(dict.fromkeys(folders))}
    volumes = [{"name": name, "hostPath": {"path": path, "type": "Directory"}} for name, path in names.items()]
    mounts = [{"name": name, "mountPath": path, "readOnly": True} for name, path in names.items()]
    return volumes, mounts
