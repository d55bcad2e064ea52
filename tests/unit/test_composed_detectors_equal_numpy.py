"""Decoding and suppression inside the graph, held against the same written again in numpy."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from tests.support.detectors import LABELS, SIZE, decode, frames, run_raw, tiny_yolo
from vidette_core.domain.pipelines import Letterbox
from vidette_models.compose import ComposedDetector, compose_detector

OUTPUTS = ["boxes", "scores", "classes"]


def run(composed: ComposedDetector, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    results: list[NDArray[np.float32]] = ort.InferenceSession(composed.onnx, options).run(OUTPUTS, {"frames": pictures})
    return results


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
@pytest.mark.parametrize(("score", "iou"), [(0.25, 0.45), (0.45, 0.3)])
def test_boxes_scores_and_classes_are_those_of_an_independent_decoder(opset: int, score: float, iou: float) -> None:
    exported = tiny_yolo(opset=opset)
    composed = compose_detector(exported, "yolo_raw", LABELS, score_threshold=score, iou_threshold=iou)
    pictures = frames(3)

    boxes, scores, classes = run(composed, pictures)

    for index, picture in enumerate(pictures):
        expected = decode(run_raw(exported, picture), score=score, iou=iou, keep=composed.keep)
        np.testing.assert_allclose(boxes[index], expected[0], atol=1e-3)
        np.testing.assert_allclose(scores[index], expected[1], atol=1e-5)
        np.testing.assert_array_equal(classes[index], expected[2])


def test_both_thresholds_of_that_comparison_do_remove_something() -> None:
    head = run_raw(tiny_yolo(), frames(1)[0])
    strict = decode(head, score=0.45, iou=0.3, keep=100)[1]
    loose = decode(head, score=0.45, iou=0.9, keep=100)[1]
    assert 0 < np.count_nonzero(strict) < np.count_nonzero(loose)
    assert strict[-1] == 0, "with padding left, the test of padding says something"


def test_a_batch_gives_each_frame_what_it_gets_alone() -> None:
    composed = compose_detector(tiny_yolo(), "yolo_raw", LABELS)
    pictures = frames(5)
    together = run(composed, pictures)
    for index in range(5):
        for name, joined, alone in zip(OUTPUTS, together, run(composed, pictures[index : index + 1]), strict=True):
            np.testing.assert_allclose(joined[index], alone[0], atol=1e-4, err_msg=name)


def test_nothing_above_the_threshold_is_all_padding() -> None:
    boxes, scores, classes = run(compose_detector(tiny_yolo(), "yolo_raw", LABELS, score_threshold=1.0), frames(1))
    assert not boxes.any()
    assert not scores.any()
    assert (classes == -1).all()


def test_a_candidate_counts_for_its_best_class_only() -> None:
    composed = compose_detector(tiny_yolo(), "yolo_raw", LABELS, iou_threshold=0.999)
    boxes, scores, _ = run(composed, frames(1))
    found = [tuple(box) for box, score in zip(boxes[0].tolist(), scores[0], strict=True) if score > 0]
    assert len(found) == len(set(found)) > 50


def test_the_composed_detector_says_what_it_is() -> None:
    composed = compose_detector(tiny_yolo(), "yolo_raw", LABELS)
    assert (composed.size, composed.letterbox, composed.labels) == (SIZE, Letterbox.CENTRE, LABELS)
    assert (composed.score_threshold, composed.iou_threshold, composed.keep) == (0.25, 0.45, 100)


def test_an_export_with_open_batch_and_size_is_taken_at_the_size_asked_for() -> None:
    exported = tiny_yolo(batch="batch", size="side", baked_batch=0)
    assert compose_detector(exported, "yolo_raw", LABELS, size=SIZE).size == SIZE
