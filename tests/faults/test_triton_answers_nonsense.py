"""A Triton that answers, but not what its models promise: no row is made of it, and the job or the frame ends with a code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from tests.support.clips import numbered_clip
from tests.support.made_up_models import PIPELINE, MadeUpModels
from tests.support.servers import StoreEndpoint
from tests.support.stand_in_triton import answers_of, stand_in_triton
from tests.support.worker_rig import CHUNK_FRAMES, Rig, worker_rig
from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.results import MAX_DETECTIONS
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.inference import Tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRAMES = CHUNK_FRAMES + 1
Spoil = Callable[[Any], None]
"""Changes a `ModelInferResponse`."""


def place(response: Any, name: str) -> int:
    return [output.name for output in response.outputs].index(name)


def array(name: str, change: Callable[[Tensor], Tensor]) -> Spoil:
    """Another array than the model's, sent as it is."""

    def spoil(response: Any) -> None:
        at = place(response, name)
        told = response.outputs[at]
        kind = {"FP32": np.float32, "INT32": np.int32, "UINT8": np.uint8}[told.datatype]
        made = change(np.frombuffer(response.raw_output_contents[at], kind).reshape(tuple(told.shape)).copy())
        told.datatype = NAMES[made.dtype.name]
        del told.shape[:]
        told.shape.extend(made.shape)
        response.raw_output_contents[at] = made.tobytes()

    return spoil


def both(name: str, other: str, change: Callable[[Tensor], Tensor]) -> Spoil:
    def spoil(response: Any) -> None:
        array(name, change)(response)
        array(other, change)(response)

    return spoil


NAMES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "bool": "BOOL"}


def told(name: str, datatype: str) -> Spoil:
    """The same bytes, said to be of another dtype."""

    def spoil(response: Any) -> None:
        response.outputs[place(response, name)].datatype = datatype

    return spoil


def raw(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(response: Any) -> None:
        at = place(response, name)
        response.raw_output_contents[at] = change(response.raw_output_contents[at])

    return spoil


def without(name: str) -> Spoil:
    def spoil(response: Any) -> None:
        at = place(response, name)
        del response.outputs[at], response.raw_output_contents[at]

    return spoil


def filled(value: float) -> Callable[[Tensor], Tensor]:
    return lambda values: np.full_like(values, value)


BESIDE_THE_CONTRACT: dict[str, tuple[str, Spoil]] = {
    "no batch of boxes": ("objects", array("boxes", lambda boxes: boxes[0])),
    "an empty batch of scores": ("objects", array("scores", lambda scores: scores[:0])),
    "two frames' worth of classes": ("objects", array("classes", lambda classes: np.tile(classes, (2, 1)))),
    "boxes of three numbers": ("objects", array("boxes", lambda boxes: boxes[..., :3])),
    "fewer scores than boxes": ("objects", array("scores", lambda scores: scores[:, :1])),
    "a score and no box": ("objects", array("boxes", lambda boxes: boxes[:, :0])),
    "boxes as whole numbers": ("objects", array("boxes", lambda boxes: boxes.astype(np.int32))),
    "boxes in double precision": ("objects", array("boxes", lambda boxes: boxes.astype(np.float64))),
    "classes as fractions": ("objects", array("classes", lambda classes: classes.astype(np.float32))),
    "scores as truth values": ("objects", array("scores", lambda scores: scores > 0)),
    "scores that are bits of whole numbers": ("objects", told("scores", "INT32")),
    "NaN for boxes": ("objects", array("boxes", filled(np.nan))),
    "endless boxes": ("objects", array("boxes", filled(np.inf))),
    "NaN for scores": ("objects", array("scores", filled(np.nan))),
    "scores far above one": ("objects", array("scores", lambda scores: 10 * scores)),
    "boxes that end before they begin": ("objects", array("boxes", lambda boxes: boxes[..., ::-1])),
    "a class behind the last": ("objects", array("classes", filled(1))),
    "a class below all": ("objects", array("classes", filled(-7))),
    "a map of another size": ("detection", array("prob", lambda prob: prob[..., ::2])),
    "a map without its channel": ("detection", array("prob", lambda prob: prob[0])),
    "a map of two channels": ("detection", array("prob", lambda prob: np.repeat(prob, 2, axis=1))),
    "a map of fractions": ("detection", array("prob", lambda prob: (prob / 255).astype(np.float32))),
    "letters as fractions": ("recognition", array("ids", lambda ids: ids.astype(np.float32))),
    "letters in double width": ("recognition", array("ids", lambda ids: ids.astype(np.int64))),
    "letters of one strip less": ("recognition", array("ids", lambda ids: ids[1:])),
    "letters without steps' probabilities": ("recognition", array("probs", lambda probs: probs[:, :1])),
    "letters of no strip in particular": ("recognition", array("ids", lambda ids: ids[0])),
    "more letters than columns": ("recognition", both("ids", "probs", lambda values: np.tile(values, (1, 100_000)))),
    "a letter behind the last": ("recognition", array("ids", filled(4))),
    "a letter below all": ("recognition", array("ids", filled(-1))),
    "NaN for probabilities": ("recognition", array("probs", filled(np.nan))),
    "endless probabilities": ("recognition", array("probs", filled(np.inf))),
    "negative probabilities": ("recognition", array("probs", filled(-0.5))),
}
"""What is well sent, and is not what the models of a pipeline promise."""

TO_ONE_FRAME = (
    "no batch of boxes",
    "classes as fractions",
    "NaN for boxes",
    "a class behind the last",
    "a map of another size",
    "a map of fractions",
    "letters of one strip less",
    "NaN for probabilities",
)

ILL_SENT: dict[str, tuple[str, Spoil]] = {
    "half of the boxes' bytes": ("objects", raw("boxes", lambda sent: sent[: len(sent) // 2])),
    "no byte of the scores": ("objects", raw("scores", lambda _: b"")),
    "a byte too few of the map": ("detection", raw("prob", lambda sent: sent[:-1])),
    "a byte too many of the letters": ("recognition", raw("ids", lambda sent: sent + b"\0")),
    "numbers that are said to be texts": ("objects", told("boxes", "BYTES")),
    "a dtype that nobody knows": ("recognition", told("probs", "FP8")),
    "no scores": ("objects", without("scores")),
    "no map": ("detection", without("prob")),
    "no letters": ("recognition", without("ids")),
}
"""What cannot even be read: the server is sick, or something between it and the worker."""


@dataclass(slots=True)
class Liar:
    """Answers well, but to `model` as `spoil` has it, for the requests whose number `when` takes."""

    model: str
    spoil: Spoil
    when: Callable[[int], bool] = lambda _: True
    models: MadeUpModels = field(default_factory=MadeUpModels)
    asked: int = 0

    def __call__(self, request: Any) -> Any:
        response = answers_of(self.models)(request)
        if request.model_name == self.model:
            if self.when(self.asked):
                self.spoil(response)
            self.asked += 1
        return response


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)
    return path.read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Rig]:
    async with worker_rig(module_postgres_url, s3) as made:
        yield made


@contextmanager
def lying(liar: Liar) -> Iterator[TritonInference]:
    with stand_in_triton(liar) as address, TritonInference(address, timeout_s=20) as inference:
        yield inference


async def work(rig: Rig, job_id: UUID, liar: Liar, patience_s: float = 20.0) -> WorkerExit:
    """One worker, one frame at a time. Whatever it raises is a traceback at the end of a real one, and fails the test."""
    with lying(liar) as inference:
        changes = {"VIDETTE_IN_FLIGHT": "1", "VIDETTE_TEXT_REUSE": "false", "VIDETTE_PATIENCE_S": str(patience_s)}
        return (await rig.worker(job_id, inference, "pod", changes)).code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def honest(rig: Rig, clip: bytes) -> list[dict[str, Any]]:
    """The rows of a job whose models answer as they should."""
    job_id = await rig.running_job(clip, PIPELINE)
    assert await work(rig, job_id, Liar("nobody", without("nothing"))) == WorkerExit.DONE
    assert await rig.finish(job_id) == "completed"
    rows = await rig.rows(job_id)
    assert [row["frame_index"] for row in rows] == list(range(FRAMES))
    assert all(row["result"]["text"] and row["result"]["detections"] for row in rows)
    return rows


@pytest.mark.parametrize("kind", BESIDE_THE_CONTRACT)
async def test_a_model_that_answers_beside_its_contract_fails_the_job_and_no_row_is_made_of_it(
    kind: str, rig: Rig, clip: bytes
) -> None:
    job_id = await rig.running_job(clip, PIPELINE)
    assert await work(rig, job_id, Liar(*BESIDE_THE_CONTRACT[kind])) == WorkerExit.BAD_INPUT
    (segment,) = await rig.segments(job_id)
    assert segment.error_code == ErrorCode.PIPELINE_UNAVAILABLE
    assert await rig.chunks(job_id) == []


@pytest.mark.parametrize("kind", TO_ONE_FRAME)
async def test_a_frame_to_which_it_answers_so_twice_has_an_error_and_the_others_are_whole(
    kind: str, rig: Rig, clip: bytes, honest: list[dict[str, Any]]
) -> None:
    job_id = await rig.running_job(clip, PIPELINE)
    liar = Liar(*BESIDE_THE_CONTRACT[kind], when=lambda number: number in (2, 3))
    assert await work(rig, job_id, liar) == WorkerExit.DONE
    assert await rig.finish(job_id) == "completed"
    rows = await rig.rows(job_id)
    (wrong,) = [row["frame_index"] for row in rows if "error" in row["result"]]
    assert rows[wrong]["result"]["error"] == "model_error"
    assert (rows[wrong]["result"]["detections"], rows[wrong]["result"]["lines"]) == ([], [])
    assert rows[:wrong] + rows[wrong + 1 :] == honest[:wrong] + honest[wrong + 1 :]


@pytest.mark.parametrize("kind", ILL_SENT)
async def test_what_cannot_be_read_is_asked_for_again_and_is_no_frames_fault(
    kind: str, rig: Rig, clip: bytes, honest: list[dict[str, Any]]
) -> None:
    job_id = await rig.running_job(clip, PIPELINE)
    model, spoil = ILL_SENT[kind]
    assert await work(rig, job_id, Liar(model, spoil), patience_s=0.3) == WorkerExit.TRY_AGAIN
    (segment,) = await rig.segments(job_id)
    assert (segment.error_code, await rig.chunks(job_id)) == (None, [])
    assert await work(rig, job_id, Liar(model, spoil, when=lambda number: number in (1, 2))) == WorkerExit.DONE
    assert await rig.finish(job_id) == "completed"
    assert await rig.rows(job_id) == honest


async def test_of_more_objects_than_a_row_may_have_the_best_are_kept(rig: Rig, clip: bytes) -> None:
    def crowd(response: Any) -> None:
        many = 20 * MAX_DETECTIONS
        scores = np.linspace(1, 0.5, many, dtype=np.float32)[None]
        array("boxes", lambda boxes: np.tile(boxes[:, :1], (1, many, 1)))(response)
        array("scores", lambda _: scores)(response)
        array("classes", lambda classes: np.tile(classes[:, :1], (1, many)))(response)

    job_id = await rig.running_job(clip, PIPELINE)
    assert await work(rig, job_id, Liar("objects", crowd)) == WorkerExit.DONE
    assert await rig.finish(job_id) == "completed"
    for row in await rig.rows(job_id):
        found = [each["confidence"] for each in row["result"]["detections"]]
        assert len(found) == MAX_DETECTIONS
        assert found == sorted(found, reverse=True)
        assert found[-1] > 0.97


@pytest.mark.parametrize("seed", range(4))
async def test_noise_that_keeps_to_the_contract_makes_rows_that_keep_to_theirs(
    seed: int, rig: Rig, clip: bytes
) -> None:
    dice = np.random.default_rng(seed)
    grain = np.ones((1, 1, 32, 32), np.uint8)
    noises: dict[str, Callable[[Tensor], Tensor]] = {
        "boxes": lambda boxes: np.sort(dice.normal(0, 1e6, boxes.shape), axis=-1).astype(np.float32),
        "scores": lambda scores: dice.uniform(0, 1, scores.shape).astype(np.float32),
        "classes": lambda classes: np.zeros_like(classes),
        "prob": lambda prob: np.kron(dice.integers(0, 256, [side // 32 or 1 for side in prob.shape], np.uint8), grain),
        "ids": lambda ids: dice.integers(0, 4, (len(ids), 40), np.int32),
        "probs": lambda probs: dice.uniform(0, 1, (len(probs), 40)).astype(np.float32),
    }

    def noisy(request: Any) -> Any:
        response = answers_of(MadeUpModels())(request)
        for name in [output.name for output in response.outputs]:
            array(name, noises[name])(response)
        return response

    job_id = await rig.running_job(clip, PIPELINE)
    with stand_in_triton(noisy) as address, TritonInference(address) as inference:
        assert (await rig.worker(job_id, inference, "pod", {"VIDETTE_IN_FLIGHT": "1"})).code == WorkerExit.DONE
    assert await rig.finish(job_id) == "completed"
    rows = await rig.rows(job_id)
    assert [(row["frame_index"], "error" in row["result"]) for row in rows] == [(at, False) for at in range(FRAMES)]
    assert any(row["result"]["lines"] for row in rows)
