"""One worker on one segment, with a gateway that answers by script: what it reports, what it waits for, what it says."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.claims import CLAIM
from tests.support.clips import write_clip
from tests.support.limits import LIMITS
from tests.support.made_up_models import MadeUpModels
from tests.support.range_server import RangeServer, range_server
from tests.support.scripted_service import Answer, Script, as_json, scripted_service
from vidette_core.domain.worker_api import ClaimAnswer, ClaimBusy, ClaimOver, PresignedUrl, WorkerExit
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_frame_worker.gateway import Gateway
from vidette_frame_worker.settings import WorkerSettings
from vidette_frame_worker.worker import Worker


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("clips") / "clip.mov"
    write_clip(path, "mov_mjpeg", 5)
    return path.read_bytes()


@pytest.fixture
def store(clip: bytes) -> Iterator[RangeServer]:
    with range_server() as server:
        server.objects["video"] = clip
        yield server


@pytest.fixture
def gateway(store: RangeServer) -> Iterator[Script]:
    answers = {
        "POST /v1/claim": [as_json({"answer": CLAIM.model_dump(mode="json")})],
        "GET /v1/source": [as_json(PresignedUrl(url=store.url("video")).model_dump())],
        "POST /v1/plan": [as_json({"window_end": None})],
        "POST /v1/report": [as_json({})],
    }
    with scripted_service(answers) as script:
        yield script


def run(gateway: Script, models: MadeUpModels, patience_s: float) -> WorkerExit:
    settings = WorkerSettings.model_validate(
        {
            "job_id": CLAIM.job_id,
            "job_token": "token",
            "gateway_url": gateway.url,
            "triton_url": "127.0.0.1:1",
            "pod_name": "pod",
            "patience_s": patience_s,
        }
    )
    return Worker(Gateway(gateway.url, "token", patience_s), models, settings, LIMITS).run().code


def reports(gateway: Script) -> list[dict[str, str]]:
    return [json.loads(body) for request, body in gateway.requests if request == "POST /v1/report"]


def test_a_model_that_refuses_everything_fails_the_job(gateway: Script) -> None:
    assert run(gateway, MadeUpModels({"objects": Rejected("not so")}), 5) == WorkerExit.BAD_INPUT
    (report,) = reports(gateway)
    assert report["code"] == "pipeline_unavailable"
    assert "refuses" in report["message"]


def test_a_model_that_a_living_triton_does_not_serve_fails_the_job_when_patience_ends(gateway: Script) -> None:
    models = MadeUpModels({"objects": Unavailable("unknown model")})
    models.unready = {"objects"}
    assert run(gateway, models, 0.5) == WorkerExit.BAD_INPUT
    (report,) = reports(gateway)
    assert report["code"] == "pipeline_unavailable"
    assert "objects version 1" in report["message"]


def test_a_triton_that_stays_away_ends_the_worker_and_not_the_job(gateway: Script) -> None:
    models = MadeUpModels({"objects": Unavailable("away")})
    models.live = False
    assert run(gateway, models, 0.5) == WorkerExit.TRY_AGAIN
    assert reports(gateway) == []


def test_a_store_is_waited_for_as_long_as_the_workers_patience(gateway: Script, store: RangeServer) -> None:
    store.objects.clear()
    began = time.monotonic()
    with capture_logs() as logs:
        assert run(gateway, MadeUpModels(), 2) == WorkerExit.TRY_AGAIN
    # At least once again, after a pause of random length; and not for ever.
    assert len(store.requests) >= 2
    assert time.monotonic() - began < 10
    assert logs[-1]["event"] == "something the worker needs stayed away"


class Changing(dict[str, bytes]):
    """Objects that are longer at every look."""

    def __getitem__(self, name: str) -> bytes:
        self[name] = super().__getitem__(name) + free_box(8)
        return super().__getitem__(name)


def free_box(size: int) -> bytes:
    return struct.pack(">I4s", size, b"free") + bytes(size - 8)


def test_a_video_that_changes_in_the_store_is_named_as_the_cause(gateway: Script, store: RangeServer) -> None:
    store.objects = Changing({"video": store.objects["video"] + free_box(600_000) + free_box(8)})
    with capture_logs() as logs:
        assert run(gateway, MadeUpModels(), 2) == WorkerExit.TRY_AGAIN
    assert logs[-1]["event"] == "this worker cannot go on"
    assert "changed in the store" in logs[-1]["error"]


@pytest.mark.parametrize("answer", [Answer(204), Answer(409)], ids=["the first", "another was quicker"])
def test_a_worker_that_reads_another_index_than_was_planned_has_the_plan_dropped_and_claims_anew(
    gateway: Script, answer: Answer
) -> None:
    planned = CLAIM.model_copy(update={"planned": True, "window_end": 3, "expected_samples": 6})
    over = ClaimAnswer(answer=ClaimOver())
    gateway.answers["POST /v1/claim"] = [
        as_json({"answer": planned.model_dump(mode="json")}),
        as_json(over.model_dump(mode="json")),
    ]
    gateway.answers["POST /v1/replan"] = [answer]
    assert run(gateway, MadeUpModels({}), 5) == WorkerExit.DONE
    asked = [request for request, _ in gateway.requests]
    assert asked.count("POST /v1/replan") == 1
    assert "POST /v1/chunks" not in asked


def test_a_worker_that_finds_all_taken_asks_less_and_less_often(
    gateway: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("vidette_frame_worker.worker.time.sleep", waits.append)
    busy, over = (
        as_json(ClaimAnswer(answer=answer).model_dump(mode="json"))
        for answer in (ClaimBusy(retry_after_s=2), ClaimOver())
    )
    gateway.answers["POST /v1/claim"] = [busy] * 6 + [over]
    assert run(gateway, MadeUpModels({}), 5) == WorkerExit.DONE
    assert waits == [2, 4, 8, 15, 15, 15]
