"""The images of our services start as a restricted cluster demands, and hold nothing that only another service needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.cluster import Cluster
from tests.support.installation import RESTRICTED, eventually
from tests.support.service_images import ServiceImages

MODULES = {"api": "vidette_api", "controller": "vidette_controller", "frame_worker": "vidette_frame_worker"}
ADAPTERS = {
    "api": {"asyncpg", "sqlmodel", "nats", "boto3", "fastapi", "uvicorn", "jwt"},
    # It can launch workers through the supervisor of an embedded stack too, which it reaches by HTTP.
    "controller": {"asyncpg", "sqlmodel", "nats", "boto3", "kubernetes", "uvicorn", "jwt", "httpx"},
    "frame_worker": {"tritonclient", "av", "cv2", "httpx"},
}
ALL = set().union(*ADAPTERS.values())
LOOK = """
import importlib.util, json, os, pkgutil, shutil, sys, importlib
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
try:
    open("/opt/vidette/probe", "w")
    writes = True
except OSError:
    writes = False
print(json.dumps({
    "user": os.getuid(),
    "has": [name for name in json.loads(sys.argv[2]) if importlib.util.find_spec(name)],
    "programs": [name for name in ("uv", "gcc", "cc", "git", "curl") if shutil.which(name)],
    "writes": writes,
}))
"""


@pytest.fixture(scope="module")
def restricted(cluster: Cluster) -> Iterator[str]:
    name = f"images-{uuid4().hex[:8]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("service", sorted(MODULES))
def test_an_image_imports_all_of_its_service_as_nobody_and_holds_no_other_services_clients(
    cluster: Cluster, images: ServiceImages, restricted: str, service: str
) -> None:
    name = f"look-{uuid4().hex[:8]}"
    arguments = ["-c", LOOK, MODULES[service], json.dumps(sorted(ALL))]
    container = {
        "name": "look",
        "image": getattr(images, service),
        "command": ["python", *arguments],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    metadata = {"name": name, "namespace": restricted}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def ended() -> str | None:
        phase: str = cluster.get("-n", restricted, "pod", name)["status"]["phase"]
        return phase if phase in ("Succeeded", "Failed") else None

    phase = eventually(ended, "the end of the look")
    said = cluster.kubectl("-n", restricted, "logs", name)
    assert phase == "Succeeded", said
    found = json.loads(said.splitlines()[-1])
    assert found["user"] == 10001, "by its own number: only that tells Kubernetes that it is not root"
    assert set(found["has"]) == ADAPTERS[service]
    assert found["programs"] == []
    assert not found["writes"]
