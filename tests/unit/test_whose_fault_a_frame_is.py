"""What a worker makes of a model that refuses, lies, or is not there: a frame's error, the pipeline's fault, or patience."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.made_up_models import DETECTOR, PIPELINE, MadeUpModels, bars
from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.pipelines import ModelRef
from vidette_core.domain.results import FrameError
from vidette_core.domain.worker_api import ReportRequest, WorkerProblem
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_core.ports.inference import Tensor
from vidette_core.telemetry.metrics import REGISTRIES, Service
from vidette_frame_worker.analysis import FrameAnalyser, PipelineBroken
from vidette_frame_worker.detection import ObjectDetector
from vidette_frame_worker.ocr import ChunkMemory, Seat
from vidette_frame_worker.video import DecodedFrame

TEXT = DecodedFrame(0, 0, 0.0, bars(100), None)


def seat() -> Seat:
    return ChunkMemory().seat()


def analyser(models: MadeUpModels, patience_s: float = 0.0) -> FrameAnalyser:
    return FrameAnalyser(PIPELINE, models, patience_s)


def test_a_frame_shows_what_the_models_say() -> None:
    result = analyser(MadeUpModels()).analyse(TEXT, seat()).row.result
    assert (result.error, result.text, [found.label for found in result.detections]) == (None, "ab", ["thing"])


@pytest.mark.parametrize("model", [model.name for model in PIPELINE.models])
def test_a_model_that_refuses_everything_is_the_pipelines_fault(model: str) -> None:
    with pytest.raises(PipelineBroken, match="not so") as caught:
        analyser(MadeUpModels({model: Rejected("not so")})).analyse(TEXT, seat())
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
    assert analyser(RefusesLines(2)).analyse(TEXT, seat()).row.result.error is FrameError.MODEL_ERROR
    assert analyser(RefusesLines(1)).analyse(TEXT, seat()).row.result.error is None


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
        analyser(models, patience_s=0.5).analyse(TEXT, seat())
    assert time.monotonic() - began >= 0.5
    assert "does not serve" in caught.value.message
    assert "recognition version 1" in caught.value.message
    assert ReportRequest(code=WorkerProblem.PIPELINE_UNAVAILABLE, message=caught.value.message)


def test_a_server_that_does_not_answer_or_has_every_model_is_never_the_pipelines_fault() -> None:
    silent, busy = away(), away()
    silent.live = False
    for models in (silent, busy):
        with pytest.raises(Unavailable):
            analyser(models).analyse(TEXT, seat())


def test_a_server_that_is_without_a_model_for_less_than_the_patience_is_waited_for() -> None:
    models = away()
    models.unready = {"recognition"}
    with ThreadPoolExecutor(1) as pool:
        row = pool.submit(analyser(models, patience_s=30).analyse, TEXT, seat())
        time.sleep(0.5)
        assert not row.done()
        models.trouble.clear()
        models.unready.clear()
        assert row.result(timeout=20).row.result.text == "ab"


def test_a_frame_is_not_to_blame_for_what_was_refused_to_an_earlier_one() -> None:
    judge, memory = analyser(RefusesLines(2)), ChunkMemory()
    first, second, third = [judge.analyse(TEXT, memory.seat()) for _ in range(3)]
    assert (first.row.result.error, first.text) == (FrameError.MODEL_ERROR, TextCounts())
    for later in (second, third):
        assert (later.row.result.error, later.row.result.text, later.text) == (None, "ab", TextCounts(read=1))


def test_a_frame_whose_detection_was_refused_leaves_the_next_to_look_for_itself() -> None:
    models = MadeUpModels({"detection": Rejected("not so")})
    judge, memory = analyser(models), ChunkMemory()
    with pytest.raises(PipelineBroken):
        judge.analyse(TEXT, memory.seat())
    models.trouble.clear()
    again = judge.analyse(TEXT, memory.seat())
    assert (again.row.result.text, again.text) == ("ab", TextCounts(read=1))


def test_frames_that_wait_for_what_an_earlier_one_reads_wait_while_triton_is_away() -> None:
    models, memory = away(), ChunkMemory()
    judge = analyser(models, patience_s=30)
    with ThreadPoolExecutor(3) as pool:
        frames = [pool.submit(judge.analyse, TEXT, memory.seat()) for _ in range(3)]
        time.sleep(0.5)
        assert not any(frame.done() for frame in frames)
        models.trouble.clear()
        analysed = [frame.result(timeout=20) for frame in frames]
    assert [frame.row.result.text for frame in analysed] == ["ab"] * 3
    assert [frame.text for frame in analysed] == [TextCounts(read=1), TextCounts(reused=1), TextCounts(reused=1)]


def test_frames_without_a_picture_hold_up_nobody() -> None:
    judge, memory = analyser(MadeUpModels()), ChunkMemory()
    seats = [memory.seat() for _ in range(4)]
    broken = DecodedFrame(1, 1, None, None, FrameError.DECODE_ERROR)
    assert judge.analyse(broken, seats[1]).row.result.error is FrameError.DECODE_ERROR
    with ThreadPoolExecutor(2) as pool:
        last = pool.submit(judge.analyse, TEXT, seats[3])
        third = pool.submit(judge.analyse, TEXT, seats[2])
        time.sleep(0.1)
        assert not last.done()
        assert not third.done()
        assert judge.analyse(TEXT, seats[0]).text == TextCounts(read=1)
        assert [third.result(20).text, last.result(20).text] == [TextCounts(reused=1)] * 2


def test_every_line_is_counted_once_in_the_metrics() -> None:
    def counted(how: str) -> float:
        return REGISTRIES[Service.WORKER].get_sample_value("vidette_worker_text_lines_total", {"how": how}) or 0.0

    before = counted("read"), counted("reused")
    judge, memory = analyser(MadeUpModels()), ChunkMemory()
    for _ in range(3):
        judge.analyse(DecodedFrame(0, 0, 0.0, bars(100, 300), None), memory.seat())
    assert (counted("read") - before[0], counted("reused") - before[1]) == (2, 4)
