"""Triton as the chart runs it: models brought by the init container, two pods that share the work, only inference for workers.

The server is CPU Triton of deploy/triton/cpu, started with the very options that NVIDIA's image gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.backing import Backing
from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster
from tests.support.doors import Doors
from tests.support.installation import Installation, installed
from tests.support.service_images import ServiceImages
from tests.support.stacks import completed
from vidette.client import Client
from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.domain.pipelines import Catalog
from vidette_core.ports.errors import PortError

pytestmark = pytest.mark.own_cluster
FRAMES = 40
REPLICAS = 2
CONTROL = "vidette-control"
PIPELINE = "yolo_ocr"


@pytest.fixture(scope="module")
def served(
    cluster: Cluster, images: ServiceImages, backing: Backing, ways_out: Doors, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    small = {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}}
    values = {
        "models": {"source": "image", "existingConfigMap": ""},
        "triton": {
            "enabled": True,
            "image": images.triton_cpu,
            "replicas": REPLICAS,
            "gpu": {"enabled": False},
            "resources": small,
            "startupSeconds": 120,
        },
    }
    folder = tmp_path_factory.mktemp("served")
    with installed(cluster, images, backing, ways_out, folder, values) as running:
        yield running


def addresses(served: Installation) -> list[str]:
    pods = served.get("pods", "-l", "app.kubernetes.io/component=triton")
    found = [pod["status"]["podIP"] for pod in pods]
    assert len(found) == REPLICAS
    return found


def catalog(served: Installation) -> Catalog:
    """As the api's own init container wrote it."""
    command = ("exec", "deployment/vidette-api", "-c", "api", "--", "cat", "/models/catalog.json")
    return Catalog.model_validate_json(served.kubectl(*command))


def requests_served(address: str) -> float:
    told = httpx.get(f"http://{address}:8002/metrics", timeout=10, trust_env=False).text
    return sum(
        float(number) for number in re.findall(r"^nv_inference_request_success\{.*\} (\S+)$", told, re.MULTILINE)
    )


def test_a_video_is_analysed_by_all_of_its_pods(served: Installation, tmp_path: Path) -> None:
    before = [requests_served(address) for address in addresses(served)]
    with Client(served.url) as client:
        job_id = client.submit(numbered_clip(tmp_path, FRAMES), PIPELINE)
        assert [row.frame_index for row in completed(client, job_id)] == list(range(FRAMES))
    more = [after - earlier for earlier, after in zip(before, map(requests_served, addresses(served)), strict=True)]
    assert min(more) > sum(more) / (2 * REPLICAS), f"the requests were spread: {more}"


def test_whoever_lacks_the_secret_can_ask_for_inference_and_nothing_else(served: Installation) -> None:
    model = next(iter(catalog(served).pipelines[0].models))
    address, secret = addresses(served)[0], served.seen.secrets["triton-control-secret"]
    with TritonInference(f"{address}:8001") as worker:
        assert worker.is_ready(model)
    with TritonAdmin(f"{address}:8001", "a guess") as stranger:
        for ask in (lambda: stranger.unload(model.name), lambda: stranger.successes(model.name), stranger.ready_models):
            with pytest.raises(PortError):
                ask()
    with TritonAdmin(f"{address}:8001", secret) as operator:
        assert (model.name, model.version) in operator.ready_models()


def test_the_same_holds_for_http_which_no_service_and_no_policy_opens_anyway(served: Installation) -> None:
    address, secret = addresses(served)[0], served.seen.secrets["triton-control-secret"]
    with httpx.Client(base_url=f"http://{address}:8000", timeout=10, trust_env=False) as asking:
        assert asking.get("/v2/health/ready").status_code == 200
        assert asking.post("/v2/repository/index").status_code == 403
        assert asking.post("/v2/repository/index", headers={CONTROL: secret}).status_code == 200
    ports = {
        port["port"] for port in served.get("services", "-l", "app.kubernetes.io/component=triton")[0]["spec"]["ports"]
    }
    assert ports == {8001, 8002}
