"""Triton as the chart runs it: models brought by the init container, two pods that share the work, only inference for workers.

The server is CPU Triton of deploy/triton/cpu, started with the very options that NVIDIA's image gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.backing import Backing
from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster
from tests.support.doors import Doors
from tests.support.installation import Installation, eventually, installed
from tests.support.otlp_collector import Collector, otlp_collector
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
KILL_A_STUB = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    if b"triton_python_backend_stub" in (folder / "cmdline").read_bytes().split(b"\\0")[0]:
        os.kill(int(folder.name), signal.SIGKILL)
        break
else:
    raise SystemExit("no stub")
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with otlp_collector() as running:
        yield running


@pytest.fixture(scope="module")
def served(
    cluster: Cluster,
    images: ServiceImages,
    backing: Backing,
    ways_out: Doors,
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    small = {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}}
    values = {
        "models": {"source": "image", "existingConfigMap": ""},
        "tracing": {"endpoint": f"http://{ways_out.to(collector.url.removeprefix('http://'))}"},
        "triton": {
            "enabled": True,
            "image": images.triton_cpu,
            "replicas": REPLICAS,
            "gpu": {"enabled": False},
            "resources": small,
            "startupSeconds": 120,
            "livenessProbe": {"exec": {"command": ["tritonserver", "--stubs"]}, "timeoutSeconds": 5},
        },
    }
    folder = tmp_path_factory.mktemp("served")
    with installed(cluster, images, backing, ways_out, folder, values, VIDETTE_CHUNK_FRAMES="2") as running:
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


def test_one_trace_follows_a_video_from_its_client_over_all_pods_into_triton(
    served: Installation, collector: Collector, tmp_path: Path
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    clip = numbered_clip(tmp_path, 10)  # five chunks, since Triton leaves some requests out (docs/tracing.md)
    answer = httpx.post(
        f"{served.url}/video/submit",
        files={"file": (clip.name, clip.read_bytes())},
        data={"pipeline_id": PIPELINE},
        headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
        timeout=60,
        trust_env=False,
    )
    with Client(served.url) as client:
        completed(client, UUID(answer.raise_for_status().json()["job_id"]))
    wanted = {"vidette-api", "vidette-controller", "vidette-frame-worker", "triton-inference-server"}
    collector.wait(lambda spans: {span.service for span in spans if span.trace_id == trace} == wanted, 60)


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


def test_a_pod_in_which_a_model_lost_its_process_is_started_anew(served: Installation) -> None:
    """Only behind the Python backend, on CPUs, can a model die alone; Triton calls it ready for ever."""
    (name, *_) = [pod["metadata"]["name"] for pod in served.get("pods", "-l", "app.kubernetes.io/component=triton")]

    def status() -> dict[str, Any]:
        container: dict[str, Any]
        (container,) = served.cluster.get("-n", served.namespace, "pod", name)["status"]["containerStatuses"]
        return container

    served.kubectl("exec", name, "-c", "triton", "--", "tritonserver", "--stubs")
    served.kubectl("exec", name, "-c", "triton", "--", "python", "-c", KILL_A_STUB)
    eventually(lambda: status()["restartCount"] == 1 and status()["ready"], "the pod again", limit_s=150)
