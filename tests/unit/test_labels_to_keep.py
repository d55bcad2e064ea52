"""What a pipeline's `keep` leaves of a detector's answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from vidette_core.domain.pipelines import Detector, Letterbox, ModelRef
from vidette_core.ports.errors import Rejected
from vidette_core.ports.inference import Tensor
from vidette_frame_worker.detection import ObjectDetector

DETECTOR = Detector(
    model=ModelRef(name="made-up", version=1, digest="sha256:" + "0" * 64),
    family="yolox",
    size=64,
    letterbox=Letterbox.CENTRE,
    labels=("bottle", "cup", "person"),
    score_threshold=0.25,
    iou_threshold=0.45,
)


class Answers:
    """Finds one thing of each class in `classes`, and pads to six."""

    def __init__(self, *classes: int) -> None:
        padding = 6 - len(classes)
        self._classes = np.array([[*classes, *(-1 for _ in range(padding))]], np.int32)
        self._scores = np.array([[0.9] * len(classes) + [0.0] * padding], np.float32)

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        assert (model, tuple(inputs)) == (DETECTOR.model, ("frames",))
        boxes = np.tile(np.array([8, 8, 16, 16], np.float32), (1, 6, 1))
        found: dict[str, Tensor] = {"boxes": boxes, "scores": self._scores, "classes": self._classes}
        return {name: found[name] for name in outputs}

    def is_live(self) -> bool:
        return True

    def is_ready(self, model: ModelRef) -> bool:
        return model == DETECTOR.model


def labels_found(keep: tuple[int, ...] | None, *classes: int) -> list[str]:
    detector = ObjectDetector(DETECTOR.model_copy(update={"keep": keep}), Answers(*classes))
    return [thing.label for thing in detector.detect(np.zeros((64, 64, 3), np.uint8))]


def test_without_a_choice_everything_is_kept() -> None:
    assert labels_found(None, 0, 2, 1) == ["bottle", "person", "cup"]


def test_only_what_is_chosen_is_kept() -> None:
    assert labels_found((0, 1), 0, 2, 1, 2) == ["bottle", "cup"]
    assert labels_found((1,), 0, 2) == []


def test_a_class_without_a_label_is_an_error_whatever_is_chosen() -> None:
    with pytest.raises(Rejected, match="class 7, which has no label"):
        labels_found((0,), 0, 7)
