"""One frame in, its result out; and whose fault it is when a model does not answer.

A server that is away, overloaded or out of time is waited for: never a frame's fault. A refusal is the frame's fault only
when the same frame is refused twice while a known-good frame of the same size is accepted.
"""

from __future__ import annotations

import numpy as np
import structlog
from numpy.typing import NDArray

from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.results import FrameError, FrameResult, FrameRow, bounded
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_core.ports.inference import Inference
from vidette_core.telemetry.metrics import FRAMES_ANALYSED, INFERENCE_RETRIES
from vidette_frame_worker.backoff import patiently
from vidette_frame_worker.detection import ObjectDetector
from vidette_frame_worker.ocr import TextRecogniser, join_lines
from vidette_frame_worker.video import DecodedFrame

_log = structlog.get_logger(__name__)


class PipelineBroken(Exception):
    """A model of the pipeline refuses a frame that cannot be at fault."""


class FrameAnalyser:
    """As thread-safe as `inference`."""

    def __init__(self, pipeline: Pipeline, inference: Inference, patience_s: float) -> None:
        self._detector = ObjectDetector(pipeline.detector, inference) if pipeline.detector else None
        self._reader = TextRecogniser(pipeline.text, inference) if pipeline.text else None
        self._patience_s = patience_s

    def analyse(self, frame: DecodedFrame) -> FrameRow:
        """The row of one frame.

        Raises:
            Unavailable: a model stayed away for longer than the patience.
            PipelineBroken: a model refuses everything.
        """
        result = self._result(frame)
        FRAMES_ANALYSED.labels(result.error.value if result.error else "ok").inc()
        return bounded(FrameRow(frame_index=frame.frame_index, result=result))

    def _result(self, frame: DecodedFrame) -> FrameResult:
        if frame.image is None:
            return FrameResult(timestamp_ms=frame.timestamp_ms, error=FrameError.DECODE_ERROR)
        for _ in range(2):
            try:
                return self._look(frame.image, frame.timestamp_ms)
            except Rejected as error:
                _log.warning("a model refused a frame", frame_index=frame.frame_index, error=str(error))
        self._prove_models(frame.image)
        return FrameResult(timestamp_ms=frame.timestamp_ms, error=FrameError.MODEL_ERROR)

    def _prove_models(self, image: NDArray[np.uint8]) -> None:
        try:
            self._look(np.full_like(image, 128), None)
        except Rejected as error:
            raise PipelineBroken(str(error)) from error

    def _look(self, image: NDArray[np.uint8], timestamp_ms: float | None) -> FrameResult:
        return patiently(lambda: self._look_once(image, timestamp_ms), self._patience_s, _on_retry)

    def _look_once(self, image: NDArray[np.uint8], timestamp_ms: float | None) -> FrameResult:
        detections = self._detector.detect(image) if self._detector else ()
        lines = self._reader.read(image) if self._reader else ()
        return FrameResult(detections=detections, text=join_lines(lines), timestamp_ms=timestamp_ms, lines=lines)


def _on_retry(error: Unavailable) -> None:
    INFERENCE_RETRIES.inc()
    _log.warning("waiting for Triton", error=str(error))
