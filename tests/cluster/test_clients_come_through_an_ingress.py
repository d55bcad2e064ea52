"""What clients do, through a real ingress controller: by an Ingress, and by a HTTPRoute of the Gateway API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster
from tests.support.helm import Values
from tests.support.installation import Installation, eventually
from tests.support.port_forward import answers
from tests.support.real_inputs import yolox_case
from tests.support.slow_upload import submitted_slowly
from tests.support.stacks import PIPELINE_ID, completed, numbers
from tests.support.traefik import CLASS, Entrance, traefik
from vidette.client import Client

pytestmark = pytest.mark.own_cluster
FRAMES = 30
GIB = 2**30
# Of the entry point, for a whole request: by default Traefik ends uploads after 60 s (docs/ingress.md).
READ_TIMEOUT = "--entryPoints.web.transport.respondingTimeouts.readTimeout="


@pytest.fixture(scope="module")
def entrance(cluster: Cluster) -> Iterator[Entrance]:
    with traefik(cluster, f"{READ_TIMEOUT}3600s") as running:
        yield running


def by_ingress(_: Entrance) -> Values:
    return {"ingress": {"enabled": True, "className": CLASS, "controller": "traefik"}}


def by_route(entrance: Entrance) -> Values:
    parent = {"name": entrance.gateway, "namespace": entrance.namespace}
    return {"httpRoute": {"enabled": True, "parentRefs": [parent]}}


@pytest.fixture(scope="module", params=[by_ingress, by_route], ids=["Ingress", "HTTPRoute"])
def door(request: pytest.FixtureRequest, vidette: Installation, entrance: Entrance) -> Iterator[Installation]:
    """The installation as clients outside reach it."""
    with vidette.changed(request.param(entrance)):
        eventually(lambda: answers(entrance.url), "the api through the ingress")
        yield replace(vidette, url=entrance.url)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def test_a_clip_goes_in_and_its_frames_come_out(door: Installation, clip: Path) -> None:
    with Client(door.url) as client:
        job_id = client.submit(clip, PIPELINE_ID)
        assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]


def test_somebodys_real_video_comes_back_as_without_an_ingress(
    door: Installation, client: Client, tmp_path: Path
) -> None:
    """As the embedded stack analyses it, byte for byte."""
    video = yolox_case(tmp_path).video
    with Client(door.url) as through:
        jobs = [made.submit(video, "yolo_ocr", frame_stride=8, max_frames=6) for made in (through, client)]
        found = []
        for made, job in zip((through, client), jobs, strict=True):
            completed(made, job)
            found.append(list(made.result_lines(job)))
    assert found[0] == found[1]
    assert len(found[0]) > 5


def test_a_gibibyte_goes_through_in_constant_memory(door: Installation, clip: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(clip.read_bytes())
    with large.open(
        "ab"
    ) as handle:  # a box that every reader skips; its size in 64 bits, its content a hole of the file
        handle.write((1).to_bytes(4, "big") + b"free" + GIB.to_bytes(8, "big"))
        handle.truncate(large.stat().st_size + GIB)
    began = restarts(door)
    with Client(door.url) as client:
        job_id = client.submit(large, PIPELINE_ID)
        assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
    assert restarts(door) == began, "neither the api, whose limit is 512 MiB, nor the ingress, whose limit is 256 MiB"


def test_what_is_no_video_is_refused_before_it_was_sent(door: Installation) -> None:
    sent = 0

    def rubbish() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        for _ in range(200):
            sent += 1
            time.sleep(0.01)
            yield b"no video at all " * 65536

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with httpx.Client(timeout=60, trust_env=False) as client:
        try:
            answer = client.post(f"{door.url}/video/submit", content=rubbish(), headers=headers)
        except httpx.WriteError:
            pytest.fail("the client met a reset in place of the answer")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Invalid file format. Must be MP4, MOV, or AVI."


def test_no_path_from_outside_leads_to_the_gateway_or_the_metrics(door: Installation) -> None:
    with httpx.Client(base_url=door.url, timeout=10, trust_env=False) as client:
        for path in ("/metrics", "/jobs/claim", "/segments/claim"):
            assert client.get(path).status_code == 404


def test_an_upload_that_takes_longer_than_traefiks_time_limit_does_not_arrive(
    cluster: Cluster, vidette: Installation, entrance: Entrance, clip: Path
) -> None:
    """What docs/ingress.md warns of: the same slow upload, with a limit of 3 s and with one of an hour."""
    with traefik(cluster, f"{READ_TIMEOUT}3s") as hurried, vidette.changed(by_ingress(entrance)):
        for one in (hurried, entrance):
            eventually(partial(answers, one.url), "the api through the ingress")
        assert submitted_slowly(hurried.url, clip, for_8_s()) is None
        assert submitted_slowly(entrance.url, clip, for_8_s()) is not None


def for_8_s() -> Callable[[], bool]:
    end = time.monotonic() + 8
    return lambda: time.monotonic() < end


def restarts(door: Installation) -> dict[str, Any]:
    told = door.cluster.get("pods", "-A")["items"]
    pods = [pod for pod in told if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "api"]
    pods += [pod for pod in told if pod["metadata"]["labels"].get("app") == "traefik"]
    states = [state for pod in pods for state in pod["status"]["containerStatuses"]]
    assert len(states) >= 2
    return {state["containerID"]: state["restartCount"] for state in states}
