"""What `make kind-up` does: a cluster, the images in it, the servers that Vidette needs, and Vidette by its chart.

Every step can be repeated: the cluster and its data stay, and its pods become those of the images just built. Standard library
of Python only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CLUSTER = "vidette"
CONTEXT = f"kind-{CLUSTER}"
NAMESPACE = "vidette"
NEEDED = {
    "docker": "https://docs.docker.com/get-docker",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "helm": "https://helm.sh/docs/intro/install",
}
IMAGES = {
    "vidette/vidette-api:dev": "services/api/Dockerfile",
    "vidette/vidette-controller:dev": "services/controller/Dockerfile",
    "vidette/vidette-frame-worker:dev": "services/frame-worker/Dockerfile",
    "vidette/vidette-models:dev": "libs/models/Dockerfile",
    "vidette/vidette-triton-cpu:dev": "deploy/triton/cpu/Dockerfile",
}
"""Each image as deploy/kind names it, and what it is built from."""
SERVERS = ("statefulset/postgres", "deployment/nats", "statefulset/store")
DEPLOYMENTS = ("deployment/vidette-api", "deployment/vidette-controller", "deployment/vidette-triton")
KUBECTL = ("kubectl", "--context", CONTEXT, "--namespace", NAMESPACE)
HELM = (
    *("helm", "--kube-context", CONTEXT, "--namespace", NAMESPACE, "upgrade", "--install", "vidette"),
    *(str(REPOSITORY / "charts" / "vidette"), "--values", str(HERE / "values.yaml")),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what it is for."""

    what: str
    command: Sequence[str]


def cluster_steps(present: Sequence[str]) -> list[Step]:
    """To the cluster itself; none if it is among the present ones."""
    if CLUSTER in present:
        return []
    return [
        Step("making the cluster", ("kind", "create", "cluster", "--config", str(HERE / "cluster.yaml"), "--wait=120s"))
    ]


def install_steps(is_there: bool) -> list[Step]:
    """Images, servers, Vidette; `is_there`: it was installed before, so its pods are to be made anew from the new images."""
    builds = [
        Step(
            f"building {image}", ("docker", "build", "--tag", image, "--file", str(REPOSITORY / file), str(REPOSITORY))
        )
        for image, file in IMAGES.items()
    ]
    return [
        *builds,
        Step("loading the images into the cluster", ("kind", "load", "docker-image", "--name", CLUSTER, *IMAGES)),
        # A Job cannot be changed, and making the bucket once more changes nothing.
        Step("making room for the bucket's Job", (*KUBECTL, "delete", "job/bucket", "--ignore-not-found")),
        Step("starting PostgreSQL, NATS and the store", (*KUBECTL, "apply", "-k", str(HERE / "backing"))),
        *(_rolled_out(server) for server in SERVERS),
        Step("waiting for the bucket", (*KUBECTL, "wait", "--for=condition=Complete", "job/bucket", "--timeout=600s")),
        Step("installing Vidette", (*HELM, "--wait", "--timeout", "600s")),
        *(_restarts() if is_there else []),
    ]


def _rolled_out(what: str) -> Step:
    return Step(f"waiting for {what}", (*KUBECTL, "rollout", "status", what, "--timeout=600s"))


def _restarts() -> list[Step]:
    """New images have the names of the old ones: Kubernetes sees no change by itself."""
    restart = Step("starting pods of the new images", (*KUBECTL, "rollout", "restart", *DEPLOYMENTS))
    return [restart, *(_rolled_out(deployment) for deployment in DEPLOYMENTS)]


def _told(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def _run(steps: Sequence[Step]) -> None:
    for step in steps:
        print(f"── {step.what}", flush=True)
        if subprocess.run(step.command, timeout=1800).returncode != 0:
            sys.exit(f"{step.what} failed: {' '.join(step.command)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Vidette on kind.")
    parser.add_argument("--only-cluster", action="store_true", help="make the cluster, and leave the rest to Tilt")
    asked = parser.parse_args()
    for program, where in NEEDED.items():
        if shutil.which(program) is None:
            sys.exit(f"{program} is not on PATH; it is needed: {where}")
    _run(cluster_steps(_told("kind", "get", "clusters")))
    if not asked.only_cluster:
        found = _told(*KUBECTL, "get", DEPLOYMENTS[0], "--ignore-not-found", "--output", "name")
        _run(install_steps(is_there=bool(found)))
        print("Vidette is at http://127.0.0.1:8000; `make kind-down` removes it.")


if __name__ == "__main__":
    main()
