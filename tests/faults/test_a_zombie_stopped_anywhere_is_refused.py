"""A worker stopped before and after each request made by it or for it, for longer than its lease: another does the work, once.

The points come from the gateway's routes, and a test holds them against what the worker's code calls: a new request without a
point here fails it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

import vidette_frame_worker
from tests.support.clips import numbered_clip
from tests.support.code_reader import PIPELINE_ID, add_code_pipeline
from tests.support.gates import GET_VIDEO, PUT_CHUNK, Gate, Side
from tests.support.http_proxy import HttpProxy, http_proxy
from tests.support.jobs import cut
from tests.support.made_up_models import MadeUpModels
from tests.support.processes import eventually
from tests.support.servers import StoreEndpoint
from tests.support.worker_rig import CHUNK_FRAMES, Rig, worker_rig
from vidette_api.gateway import routes
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.pipelines import ModelRef, Pipeline
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.errors import Rejected
from vidette_core.ports.inference import Inference, Tensor
from vidette_core.testing.onnx_inference import OnnxInference
from vidette_frame_worker.worker import End
from vidette_models.repository import Repository

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRAMES = CHUNK_FRAMES + 2
LEASE_S = 1.5
TAKEN_OVER = "another worker has taken over, or the job is over"
ROUTES = [route for route in routes.router.routes if isinstance(route, APIRoute)]
AT_GATEWAY = [f"{method} {route.path}" for route in ROUTES for method in route.methods or ()]
POINTS = [*AT_GATEWAY, GET_VIDEO, PUT_CHUNK]
REFUSING = MadeUpModels({"code-reader": Rejected("not so")})
CLAIM, COMMIT, FINISH = "POST /v1/claim", "POST /v1/chunks", "POST /v1/finish"
RENEW, REPLAN, REPORT = "POST /v1/renew", "POST /v1/replan", "POST /v1/report"


class Heir(StrEnum):
    """Who takes over, and how far it is when the stopped worker goes on."""

    ANOTHER_POD_HALF_WAY = "another pod is half way"
    THE_NEXT_ATTEMPT_AT_THE_END = "the next attempt has ended the job"


class Slow:
    """The same models, so slow that a lease has to be renewed."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        time.sleep(LEASE_S / 3)
        return self._inference.infer(model, inputs, outputs)

    def is_live(self) -> bool:
        return self._inference.is_live()

    def is_ready(self, model: ModelRef) -> bool:
        return self._inference.is_ready(model)


@dataclass(frozen=True, slots=True)
class Scene:
    """What all cases share."""

    rig: Rig
    store: HttpProxy
    clip: bytes
    inference: Inference
    pipeline: Pipeline

    async def job_for(self, point: str) -> UUID:
        """A running job in which a worker comes to the point."""
        job_id = await self.rig.running_job(self.clip, self.pipeline)
        if point == REPLAN:
            claimed = await self.rig.db.claim(job_id, "zombie")
            await self.rig.db.planning.post_plan(claimed.fence, cut(10 * FRAMES, CHUNK_FRAMES, workers=2))
        return job_id

    def models_for(self, point: str) -> Inference:
        models: dict[str, Inference] = {RENEW: Slow(self.inference), REPORT: REFUSING}
        return models.get(point, self.inference)

    @contextmanager
    def gated(self, gate: Gate) -> Iterator[str]:
        """The gateway's address for a worker whose ways lead through the gate."""
        with http_proxy(self.rig.gateway_url) as proxy:
            proxy.meddle, self.store.meddle = gate.gateway, gate.store
            try:
                yield proxy.url
            finally:
                gate.open()

    def worker(self, job_id: UUID, models: Inference, pod: str, attempt: int, gateway: str) -> asyncio.Task[End]:
        variables = {"VIDETTE_GATEWAY_URL": gateway, "VIDETTE_IN_FLIGHT": "1"}
        return self.rig.worker(job_id, models, pod, variables, attempt)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    module_postgres_url: str, s3: StoreEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    add_code_pipeline(folder / "models")
    catalog = Repository(folder / "models").catalog()
    assert catalog is not None
    pipeline = catalog.get(PIPELINE_ID)
    assert pipeline is not None
    clip = numbered_clip(folder, FRAMES).read_bytes()
    with http_proxy(s3.endpoint) as store:
        async with worker_rig(module_postgres_url, s3, lease_s=LEASE_S, endpoint=store.url) as rig:
            yield Scene(rig, store, clip, OnnxInference(folder / "models"), pipeline)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def requests(scene: Scene) -> Counter[str]:
    """How often a worker that nobody stops makes each request in a job."""
    gate, job_id = Gate(), await scene.job_for("")
    with scene.gated(gate) as gateway:
        assert (await scene.worker(job_id, scene.inference, "zombie", 1, gateway)).code == WorkerExit.DONE
    # One each is enough of those that are not in every job, or that come as time goes by.
    return Counter({**gate.seen, RENEW: 1, REPLAN: 1, REPORT: 1})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BUSY_RETRY_S", 0.1)


@pytest.mark.parametrize("heir", Heir)
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_stopped_there_is_replaced_and_changes_nothing_when_it_goes_on(
    point: str, side: Side, heir: Heir, scene: Scene, requests: Counter[str]
) -> None:
    assert requests[point] > 0
    for nth in range(1, requests[point] + 1):
        await stop_and_go(scene, point, side, nth, heir)


async def stop_and_go(scene: Scene, point: str, side: Side, nth: int, heir: Heir) -> None:
    rig, gate, job_id = scene.rig, Gate(point, side, nth), await scene.job_for(point)
    with scene.gated(gate) as gateway:
        zombie = scene.worker(job_id, scene.models_for(point), "zombie", 1, gateway)
        await eventually(lambda: gate.reached or zombie.done(), 60, f"the worker comes to {point}")
        assert gate.reached, zombie.result()
        if (point, side) == (REPORT, Side.AFTER):
            gate.open()
            await reported(rig, job_id, await zombie)
            return
        epoch = max([segment.epoch for segment in await rig.segments(job_id)], default=0)
        committed = await keys(rig, job_id, epoch)
        ends = await take_over(scene, job_id, heir, gate, zombie)
    assert is_orderly(ends[0])
    assert is_orderly(ends[1])
    assert (ends[1].code == WorkerExit.TRY_AGAIN) == has_to_be_refused(point, side, nth)
    assert await keys(rig, job_id, epoch) == committed, "a stopped worker has committed something"
    shown = [(row["frame_index"], row["result"]["detections"][0]["label"]) for row in await rig.rows(job_id)]
    assert shown == [(index, str(index)) for index in range(FRAMES)]


def is_orderly(end: End) -> bool:
    return end.code == WorkerExit.DONE or (end.code == WorkerExit.TRY_AGAIN and TAKEN_OVER in end.sentence)


def has_to_be_refused(point: str, side: Side, nth: int) -> bool:
    """Whether the stopped worker holds a segment and has something left to say of it.

    A refused replan is no end: whoever planned anew, all claim anew.
    """
    if point == CLAIM:
        return side is Side.AFTER and nth == 1
    return point != REPLAN and (point, side) != (FINISH, Side.AFTER)


async def take_over(scene: Scene, job_id: UUID, heir: Heir, gate: Gate, zombie: asyncio.Task[End]) -> list[End]:
    """Another does the work, and the stopped one goes on: how both ended."""
    rig = scene.rig
    await rig.lease_runs_out(job_id)
    if heir is Heir.THE_NEXT_ATTEMPT_AT_THE_END:
        await rig.next_attempt(job_id, 2)
        ended = await scene.worker(job_id, scene.inference, "heir", 2, rig.gateway_url)
        assert await rig.finish(job_id) == "completed"
        gate.open()
        return [ended, await zombie]
    half_way = Gate(COMMIT, Side.BEFORE)
    with http_proxy(rig.gateway_url) as way:
        way.meddle = half_way.gateway
        worker = scene.worker(job_id, scene.inference, "heir", 1, way.url)
        try:
            await eventually(
                lambda: half_way.reached or worker.done(), 60, "the heir is half way, or has nothing to do"
            )
            asked = gate.seen[CLAIM]
            gate.open()

            def went_on() -> bool:
                return zombie.done() or gate.seen[CLAIM] > asked + 1

            await eventually(went_on, 60, "the stopped worker has gone on, and found the work taken")
        finally:
            half_way.open()
        ends = list(await asyncio.gather(worker, zombie))
    assert await rig.finish(job_id) == "completed"
    return ends


async def keys(rig: Rig, job_id: UUID, epoch: int) -> list[str]:
    """The chunks that were committed by workers of up to this epoch."""
    return [chunk.key for chunk in await rig.chunks(job_id) if chunk.epoch <= epoch]


async def reported(rig: Rig, job_id: UUID, end: End) -> None:
    """What was said while the fence held counts: the job ends by it."""
    (segment,) = await rig.segments(job_id)
    assert segment.error_code == ErrorCode.PIPELINE_UNAVAILABLE
    assert end.code == WorkerExit.BAD_INPUT
    assert await rig.chunks(job_id) == []


async def test_each_request_of_a_worker_is_a_point() -> None:
    folder = Path(vidette_frame_worker.__file__).parent
    sources = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    ways = re.compile(r"^(?:import|from) (httpx|http|urllib|socket|requests|aiohttp|asyncio)\b", re.MULTILINE)
    assert {name for name, text in sources.items() if ways.search(text)} == {"gateway.py", "video/range_reader.py"}
    gateway, reader = sources["gateway.py"], sources["video/range_reader.py"]
    calls = re.compile(r'"(GET|POST|PUT|PATCH|DELETE)", "(/[\w/]+)"')
    assert {f"{method} {path}" for method, path in calls.findall(gateway)} == set(AT_GATEWAY)
    assert gateway.count('"/v1/') == len(calls.findall(gateway))
    to_store = re.compile(r"(?:httpx|_client)\.(get|put|post|patch|delete|head|request|stream)\(")
    assert to_store.findall(gateway) == ["request"]
    assert to_store.findall(reader) == ["stream"]
