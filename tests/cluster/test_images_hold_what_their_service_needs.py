"""The images of our services start as a restricted cluster demands, and hold nothing that only another service needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.cluster import Cluster
from tests.support.installation import RESTRICTED, eventually
from tests.support.service_images import ServiceImages

MODULES = {
    "api": "vidette_api",
    "controller": "vidette_controller",
    "frame_worker": "vidette_frame_worker",
    "models": "vidette_models",
}
LARGEST_MB = {"api": 122, "controller": 122, "frame_worker": 450, "models": 290}
"""What /opt/vidette may hold: 250 MB less the upstream base, with room for that to grow; of the others, what they have now."""
ADAPTERS = {
    "api": {"asyncpg", "sqlmodel", "nats", "boto3", "fastapi", "uvicorn", "jwt"},
    # It can launch workers through the supervisor of an embedded stack too, which it reaches by HTTP.
    "controller": {"asyncpg", "sqlmodel", "nats", "boto3", "kubernetes", "uvicorn", "jwt", "httpx"},
    "frame_worker": {"tritonclient", "av", "cv2", "httpx"},
    "models": {"boto3", "onnx", "onnxruntime", "rapidocr", "tritonclient"},
}
ALL = set().union(*ADAPTERS.values())
LOOK = """
import importlib.util, json, os, pkgutil, shutil, sys, importlib
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    # The demo's own makers are developers' tools, and need what no image has.
    if not module.name.endswith("__main__") and ".demo." not in module.name:
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
    "mb": sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk("/opt/vidette") for name in names) / 1e6,
    "uncompiled": sum(name.endswith(".py") and not os.path.isdir(os.path.join(at, "__pycache__"))
                      for at, _, names in os.walk(os.path.dirname(package.__path__[0])) for name in names),
}))
"""
LIST = """
import json, os
print(json.dumps([os.path.relpath(os.path.join(at, name), "/models") for at, _, names in os.walk("/models") for name in names]))
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
    command = ["python", "-c", LOOK, MODULES[service], json.dumps(sorted(ALL))]
    said = _run(cluster, restricted, {"image": getattr(images, service), "command": command})
    found = json.loads(said.splitlines()[-1])
    assert found["user"] == 10001, "by its own number: only that tells Kubernetes that it is not root"
    assert set(found["has"]) == ADAPTERS[service]
    assert found["programs"] == []
    assert not found["writes"]
    assert found["uncompiled"] == 0, "nothing can be compiled on a read-only file system: it would be at every start"
    assert found["mb"] < LARGEST_MB[service]


def test_the_models_image_fills_a_volume_as_nobody_without_any_network(
    cluster: Cluster, images: ServiceImages, restricted: str
) -> None:
    container = {
        "image": images.models,
        "args": ["/models"],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    look = {
        "image": images.models,
        "command": ["python", "-c", LIST],
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    }
    said = _run(cluster, restricted, look, before=container)
    files = set(json.loads(said.splitlines()[-1]))
    assert {"catalog.json", "demo-detector/config.pbtxt"} <= files
    models = {path.split("/")[0] for path in files if re.fullmatch(r"[a-z-]+/[1-9][0-9]*/model\.onnx", path)}
    assert models == {"demo-detector", "ppocr-det", "ppocr-rec"}


def _run(cluster: Cluster, namespace: str, container: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    """What a container said, after another was through."""
    name = f"look-{uuid4().hex[:8]}"
    secure = {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [{"name": "before", **before, **secure}] if before else [],
        "containers": [{"name": "look", **container, **secure}],
        "volumes": [{"name": "models", "emptyDir": {}}],
    }
    metadata = {"name": name, "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def ended() -> str | None:
        phase: str = cluster.get("-n", namespace, "pod", name)["status"]["phase"]
        return phase if phase in ("Succeeded", "Failed") else None

    phase = eventually(ended, "the end of the look")
    said = cluster.kubectl("-n", namespace, "logs", name)
    assert phase == "Succeeded", said
    return said
