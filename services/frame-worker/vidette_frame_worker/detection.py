"""Objects of one frame: letterbox, one request, boxes in the frame's own pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidette_core.domain.pipelines import Detector
from vidette_core.domain.results import MAX_DETECTIONS, Detection
from vidette_core.ports.errors import Rejected
from vidette_core.ports.inference import Inference
from vidette_frame_worker.answers import expect_probabilities, expected
from vidette_frame_worker.letterbox import letterbox

DECIMALS = 2
"""Of a pixel. Finer than any detector is right, and it keeps chunks small."""


class ObjectDetector:
    """As thread-safe as `inference`."""

    def __init__(self, detector: Detector, inference: Inference) -> None:
        self._detector = detector
        self._inference = inference

    def detect(self, image: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """The objects of an RGB UINT8 [H,W,3] frame, best first.

        Raises:
            Unavailable, Rejected: what the models' server answered.
            Rejected: it answered what are no objects.
        """
        square, fitted = letterbox(image, self._detector.size, self._detector.letterbox)
        outputs = ("boxes", "scores", "classes")
        answer = self._inference.infer(self._detector.model, {"frames": square[None]}, outputs)
        boxes = expected(answer, "boxes", np.float32, (1, None, 4))[0]
        scores = expected(answer, "scores", np.float32, (1, len(boxes)))[0]
        classes = expected(answer, "classes", np.int32, (1, len(boxes)))[0]
        kept = np.flatnonzero((scores >= self._detector.score_threshold) & self._wanted(classes))[:MAX_DETECTIONS]
        corners = boxes[kept]
        # All scores, since NaN compares false and would be taken for an empty frame.
        if not (np.isfinite(scores).all() and np.isfinite(corners).all()):
            raise Rejected("the detector answered a box or a score that is not a finite number")
        expect_probabilities("scores", scores[kept])
        if not (corners[:, :2] <= corners[:, 2:]).all():
            raise Rejected("the detector answered a box that ends before it begins")
        rows = zip(fitted.to_frame(corners).tolist(), scores[kept].tolist(), classes[kept].tolist(), strict=True)
        return tuple(self._detection(*row) for row in rows)

    def _wanted(self, classes: NDArray[np.int32]) -> NDArray[np.bool_] | bool:
        """Which boxes are of a class that the pipeline keeps. A class that no label stands for is never left out unseen."""
        if self._detector.keep is None:
            return True
        unknown = (classes < 0) | (classes >= len(self._detector.labels))
        wanted: NDArray[np.bool_] = np.isin(classes, self._detector.keep) | unknown
        return wanted

    def _detection(self, box: list[float], score: float, class_id: int) -> Detection:
        if not 0 <= class_id < len(self._detector.labels):
            raise Rejected(f"the detector answered class {class_id}, which has no label")
        left, top, right, bottom = (round(value, DECIMALS) for value in box)
        return Detection(
            label=self._detector.labels[class_id],
            class_id=class_id,
            confidence=round(min(score, 1.0), 4),
            bbox=(left, top, round(right - left, DECIMALS), round(bottom - top, DECIMALS)),
        )
