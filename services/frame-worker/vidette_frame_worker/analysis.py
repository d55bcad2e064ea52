"""One frame in, its result out; and whose fault it is when a model does not answer.

A server that is away, overloaded or out of time is waited for: never a frame's fault. A refusal is the frame's fault only
when the same frame is refused twice while every model accepts a blank one of the same size. A model that a living server
does not serve, not even when patience ends, is the pipeline's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.pipelines import ModelRef, Pipeline
from vidette_core.domain.results import FrameError, FrameResult, FrameRow, bounded
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_core.ports.inference import Inference
from vidette_core.telemetry.metrics import FRAMES_ANALYSED, INFERENCE_RETRIES, TEXT_LINES
from vidette_frame_worker.backoff import patiently
from vidette_frame_worker.chunks import Analysed
from vidette_frame_worker.detection import ObjectDetector
from vidette_frame_worker.ocr import Seat, TextRecogniser, join_lines
from vidette_frame_worker.video import DecodedFrame

T = TypeVar("T")
_REFUSES = (
    "A model of the pipeline refuses every frame, or does not answer as it should. The operator finds the reason in the"
    " worker's log, by the job's id."
)
_NOT_SERVED = (
    "Triton answers, but does not serve what the job needs: {}. The operator puts it back; then submit the video again."
)
_log = structlog.get_logger(__name__)


class PipelineBroken(Exception):
    """The job's models make its success impossible, whoever tries. `message` is for people; the text itself is for the log."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(detail)
        self.message = message


class FrameAnalyser:
    """As thread-safe as `inference`."""

    def __init__(self, pipeline: Pipeline, inference: Inference, patience_s: float) -> None:
        self._detector = ObjectDetector(pipeline.detector, inference) if pipeline.detector else None
        self._reader = TextRecogniser(pipeline.text, inference) if pipeline.text else None
        self._models = pipeline.models
        self._inference = inference
        self._patience_s = patience_s

    def analyse(self, frame: DecodedFrame, seat: Seat) -> Analysed:
        """The row of one frame, with what its chunk's memory knew of its text.

        Raises:
            Unavailable: a model stayed away for longer than the patience.
            PipelineBroken: a model refuses everything, or the server lives without it for longer than the patience.
        """
        with seat:
            result = self._result(frame, seat)
        text = TextCounts() if result.error else seat.counts
        FRAMES_ANALYSED.labels(result.error.value if result.error else "ok").inc()
        TEXT_LINES.labels("read").inc(text.read)
        TEXT_LINES.labels("reused").inc(text.reused)
        return Analysed(bounded(FrameRow(frame_index=frame.frame_index, result=result)), text)

    def _result(self, frame: DecodedFrame, seat: Seat) -> FrameResult:
        if frame.image is None:
            return FrameResult(timestamp_ms=frame.timestamp_ms, error=FrameError.DECODE_ERROR)
        for _ in range(2):
            try:
                return self._look(frame.image, frame.timestamp_ms, seat)
            except Rejected as error:
                _log.warning("a model refused a frame", frame_index=frame.frame_index, error=str(error))
        self._prove_models(frame.image)
        return FrameResult(timestamp_ms=frame.timestamp_ms, error=FrameError.MODEL_ERROR)

    def _prove_models(self, image: NDArray[np.uint8]) -> None:
        blank = np.full_like(image, 128)
        try:
            self._waiting(lambda: self._look_at_blank(blank))
        except Rejected as error:
            raise PipelineBroken(_REFUSES, str(error)) from error

    def _look_at_blank(self, blank: NDArray[np.uint8]) -> None:
        if self._detector:
            self._detector.detect(blank)
        if self._reader:
            self._reader.prove(blank)

    def _look(self, image: NDArray[np.uint8], timestamp_ms: float | None, seat: Seat) -> FrameResult:
        return self._waiting(lambda: self._look_once(image, timestamp_ms, seat))

    def _waiting(self, call: Callable[[], T]) -> T:
        try:
            return patiently(call, self._patience_s, _on_retry)
        except Unavailable as error:
            if missing := self._unserved():
                names = ", ".join(f"{model.name} version {model.version}" for model in missing)
                raise PipelineBroken(_NOT_SERVED.format(names), f"not ready: {names}; {error}") from error
            raise

    def _unserved(self) -> list[ModelRef]:
        """The models that a living server does not have; none where the server may be away."""
        if not self._inference.is_live():
            return []
        missing = [model for model in self._models if not self._inference.is_ready(model)]
        # Asked again, since a server that went away in between is ready for nothing either.
        return missing if self._inference.is_live() else []

    def _look_once(self, image: NDArray[np.uint8], timestamp_ms: float | None, seat: Seat) -> FrameResult:
        detections = self._detector.detect(image) if self._detector else ()
        lines = self._reader.read(image, seat) if self._reader else ()
        return FrameResult(detections=detections, text=join_lines(lines), timestamp_ms=timestamp_ms, lines=lines)


def _on_retry(error: Unavailable) -> None:
    INFERENCE_RETRIES.inc()
    _log.warning("waiting for Triton", error=str(error))
