"""What a worker makes of a model that refuses, lies, or is not there: a frame's error, the pipeline's fault, or patience."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.made_up_models import DETECTOR, PIPELINE, MadeUpModels, bars
from vidette_core.domain.pipelines import ModelRef
from vidette_core.domain.results import FrameError
from vidette_core.domain.worker_api import ReportRequest, WorkerProblem
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_core.ports.inference import Tensor
from vidette_frame_worker.analysis import FrameAnalyser, PipelineBroken
from vidette_frame_worker.detection import ObjectDetector
from vidette_frame_worker.video import DecodedFrame

TEXT = DecodedFrame(0, 0, 0.0, bars(100), None)


def analyser(models: MadeUpModels, patience_s: float = 0.0) -> FrameAnalyser:
    return FrameAnalyser(PIPELINE, models, patience_s)


def test_a_frame_shows_what_the_models_say() -> None:
    result = analyser(MadeUpModels()).analyse(TEXT).result
    assert (result.error, result.text, [found.label for found in result.detections]) == (None, "ab", ["thing"])


@pytest.mark.parametrize("model", [model.name for model in PIPELINE.models])
def test_a_model_that_refuses_everything_is_the_pipelines_fault(model: str) -> None:
    with pytest.raises(PipelineBroken, match="not so") as caught:
        analyser(MadeUpModels({model: Rejected("not so")})).analyse(TEXT)
    assert ReportRequest(code=WorkerProblem.PIPELINE_UNAVAILABLE, message=caught.value.message)


class RefusesLines(MadeUpModels):
    """A recogniser that refuses the first strips it is asked for, and no others."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        if model.name == "recognition" and self.refusals:
            self.refusals -= 1
            raise Rejected("not this one")
        return super().infer(model, inputs, outputs)


def test_a_frame_refused_twice_by_a_model_that_takes_a_blank_one_has_an_error() -> None:
    assert analyser(RefusesLines(2)).analyse(TEXT).result.error is FrameError.MODEL_ERROR
    assert analyser(RefusesLines(1)).analyse(TEXT).result.error is None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_a_refusal(wrong: float) -> None:
    models = MadeUpModels()
    models.box[2] = wrong
    with pytest.raises(Rejected, match="finite"):
        ObjectDetector(DETECTOR, models).detect(bars())
    models = MadeUpModels()
    models.score = wrong
    with pytest.raises(Rejected, match="finite"):
        ObjectDetector(DETECTOR, models).detect(bars())


def away() -> MadeUpModels:
    return MadeUpModels({"recognition": Unavailable("not served now")})


def test_a_model_that_a_living_server_does_not_serve_is_the_pipelines_fault_when_patience_ends() -> None:
    models = away()
    models.unready = {"recognition"}
    began = time.monotonic()
    with pytest.raises(PipelineBroken) as caught:
        analyser(models, patience_s=0.5).analyse(TEXT)
    assert time.monotonic() - began >= 0.5
    assert "does not serve" in caught.value.message
    assert "recognition version 1" in caught.value.message
    assert ReportRequest(code=WorkerProblem.PIPELINE_UNAVAILABLE, message=caught.value.message)


def test_a_server_that_does_not_answer_or_has_every_model_is_never_the_pipelines_fault() -> None:
    silent, busy = away(), away()
    silent.live = False
    for models in (silent, busy):
        with pytest.raises(Unavailable):
            analyser(models).analyse(TEXT)


def test_a_server_that_is_without_a_model_for_less_than_the_patience_is_waited_for() -> None:
    models = away()
    models.unready = {"recognition"}
    with ThreadPoolExecutor(1) as pool:
        row = pool.submit(analyser(models, patience_s=30).analyse, TEXT)
        time.sleep(0.5)
        assert not row.done()
        models.trouble.clear()
        models.unready.clear()
        assert row.result(timeout=20).result.text == "ab"
