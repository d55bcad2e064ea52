"""What each family's graph answers to frames, held against its decoding written again in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from tests.support.detectors import LABELS, decode, frames, run_raw, tiny_yolo
from tests.support.exports import (
    SIDE,
    best_rows,
    borrowing_transformer,
    detr_rows,
    run_export,
    small_transformer,
    small_yolox,
    suppressing_yolo,
    written_head,
    yolox_rows,
)
from vidette_core.domain.pipelines import Letterbox
from vidette_models.compose import ComposedDetector, compose_detector
from vidette_models.families import FAMILIES

Frame = NDArray[np.uint8]
Answer = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]
OUTPUTS = ["boxes", "scores", "classes"]
BLACK, WHITE = np.zeros((1, SIDE, SIDE, 3), np.uint8), np.full((1, SIDE, SIDE, 3), 255, np.uint8)


@dataclass(frozen=True)
class Case:
    """An export of a family, and what is expected of one frame at thresholds of score and IoU."""

    family: str
    letterbox: Letterbox
    exported: bytes
    expected: Callable[[Frame, float, float, int], Answer]


YOLOX, DETR, E2E = small_yolox(), small_transformer("detr"), small_transformer("end to end")
RAW, NMS = tiny_yolo(), suppressing_yolo()


def expect_yolox(frame: Frame, score: float, iou: float, keep: int) -> Answer:
    return decode(yolox_rows(run_export(YOLOX, frame, white=255, bgr=True)), score=score, iou=iou, keep=keep)


CASES = {
    "yolo_raw": Case(
        "yolo_raw",
        Letterbox.CENTRE,
        RAW,
        lambda frame, score, iou, keep: decode(run_raw(RAW, frame), score=score, iou=iou, keep=keep),
    ),
    "yolox": Case("yolox", Letterbox.TOP_LEFT, YOLOX, expect_yolox),
    "detr_scored": Case(
        "detr_scored",
        Letterbox.STRETCH,
        DETR,
        lambda frame, score, _, keep: best_rows(detr_rows(run_export(DETR, frame)), score=score, keep=keep),
    ),
    "yolo_e2e": Case(
        "yolo_e2e",
        Letterbox.CENTRE,
        E2E,
        lambda frame, score, _, keep: best_rows(run_export(E2E, frame), score=score, keep=keep),
    ),
    "yolo_e2e with NMS inside": Case(
        "yolo_e2e",
        Letterbox.CENTRE,
        NMS,
        lambda frame, score, _, keep: best_rows(run_export(NMS, frame), score=score, keep=keep),
    ),
}


def run(composed: ComposedDetector, pictures: Frame) -> Answer:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    boxes, scores, classes = ort.InferenceSession(composed.onnx, options).run(OUTPUTS, {"frames": pictures})
    return boxes, scores, classes


def assert_equal(found: Answer, expected: Answer) -> None:
    np.testing.assert_allclose(found[0], expected[0], atol=1e-3)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    np.testing.assert_array_equal(found[2], expected[2])


def test_every_family_has_a_case() -> None:
    assert {case.family for case in CASES.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("score", "iou"), [(0.25, 0.45), (0.55, 0.3)])
def test_a_batch_answers_what_an_independent_decoder_says_of_each_frame(name: str, score: float, iou: float) -> None:
    case = CASES[name]
    composed = compose_detector(case.exported, case.family, LABELS, score_threshold=score, iou_threshold=iou)
    pictures = np.concatenate([frames(4), BLACK, WHITE])

    together = run(composed, pictures)

    seen = set()
    for index, picture in enumerate(pictures):
        expected = case.expected(picture, score, iou, composed.keep)
        assert_equal((together[0][index], together[1][index], together[2][index]), expected)
        seen.add(expected[1].tobytes())
    assert len(seen) >= 5, "frames differ, or the batch would prove nothing"
    assert together[0].shape == (6, composed.keep, 4)


@pytest.mark.parametrize("name", CASES)
def test_a_higher_threshold_drops_some_and_the_highest_all(name: str) -> None:
    case, pictures = CASES[name], frames(2)
    counts = []
    for score in (0.1, 0.65, 1.0):
        _, scores, classes = run(compose_detector(case.exported, case.family, LABELS, score_threshold=score), pictures)
        assert ((scores > score) == (classes >= 0)).all()
        counts.append(np.count_nonzero(scores))
    assert counts[0] > 0
    assert counts[0] >= counts[1] > counts[2] == 0


@pytest.mark.parametrize("name", CASES)
def test_the_frame_is_fitted_as_the_family_was_trained(name: str) -> None:
    case = CASES[name]
    assert compose_detector(case.exported, case.family, LABELS).letterbox is case.letterbox


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_yolox_is_decoded_alike_in_every_opset(opset: int) -> None:
    exported, picture = small_yolox(opset=opset), frames(2)
    found = run(compose_detector(exported, "yolox", LABELS), picture)
    for index in range(2):
        expected = expect_yolox(picture[index], 0.25, 0.45, 84)
        assert_equal((found[0][index], found[1][index], found[2][index]), expected)


@pytest.mark.parametrize("kind", ["detr", "end to end"])
@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_transformers_are_decoded_alike_in_every_opset(kind: str, opset: int) -> None:
    family = "detr_scored" if kind == "detr" else "yolo_e2e"
    picture = frames(2)
    old = run(compose_detector(small_transformer(kind), family, LABELS), picture)
    assert_equal(run(compose_detector(small_transformer(kind, opset=opset), family, LABELS), picture), old)


def test_an_end_to_end_head_is_not_suppressed_again() -> None:
    rows = np.array([[10, 10, 40, 40, 0.9, 1], [10, 10, 40, 40, 0.8, 1], [11, 10, 40, 40, 0.7, 1]])
    composed = compose_detector(written_head(rows, slice(4, 5)), "yolo_e2e", LABELS, iou_threshold=0.01)
    _, scores, _ = run(composed, WHITE)
    np.testing.assert_allclose(scores[0], [0.9, 0.8, 0.7], atol=1e-5)


def test_overlapping_queries_of_a_transformer_are_not_suppressed() -> None:
    rows = np.array([[0.5, 0.5, 0.2, 0.2, 0.9, 0, 0], [0.5, 0.5, 0.2, 0.2, 0.8, 0, 0]])
    composed = compose_detector(written_head(rows, slice(4, 7)), "detr_scored", LABELS, iou_threshold=0.01)
    boxes, scores, classes = run(composed, WHITE)
    np.testing.assert_allclose(scores[0], [0.9, 0.8], atol=1e-5)
    np.testing.assert_allclose(boxes[0], [[25.6, 25.6, 38.4, 38.4]] * 2, atol=1e-3)
    assert classes[0].tolist() == [0, 0]


def test_rows_of_padding_between_and_after_the_boxes_are_left_out_and_the_rest_is_sorted() -> None:
    rows = np.array(
        [
            [1, 2, 30, 40, 0.5, 2],
            [0, 0, 0, 0, 0, 0],
            [5, 6, 50, 60, 0.8, 0],
            [0, 0, 0, 0, -1, -1],
            [7, 8, 20, 30, 0.2, 1],
        ]
    )
    boxes, scores, classes = run(compose_detector(written_head(rows, slice(4, 5)), "yolo_e2e", LABELS), WHITE)
    np.testing.assert_allclose(scores[0], [0.8, 0.5, 0, 0, 0], atol=1e-5)
    assert classes[0].tolist() == [0, 2, -1, -1, -1]
    assert boxes[0].tolist() == [[5, 6, 50, 60], [1, 2, 30, 40], [0] * 4, [0] * 4, [0] * 4]


def test_of_equal_scores_the_first_comes_first() -> None:
    rows = np.array([[x, 0, x + 20, 20, 0.5, x % 3] for x in range(40)])
    boxes, _, classes = run(compose_detector(written_head(rows, slice(4, 5)), "yolo_e2e", LABELS), WHITE)
    assert boxes[0][:, 0].tolist() == list(range(40))
    assert classes[0].tolist() == [x % 3 for x in range(40)]


def test_suppression_of_yolox_removes_what_overlaps_within_a_class_and_nothing_else() -> None:
    picture = frames(1)
    counts = []
    for iou in (0.0, 0.3, 1.0):
        composed = compose_detector(YOLOX, "yolox", LABELS, score_threshold=0.1, iou_threshold=iou)
        found = run(composed, picture)
        assert_equal((found[0][0], found[1][0], found[2][0]), expect_yolox(picture[0], 0.1, iou, composed.keep))
        counts.append(np.count_nonzero(found[1]))
    assert counts[0] < counts[1] < counts[2]


def test_of_equal_classes_of_a_query_the_first_counts() -> None:
    rows = np.array([[0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 0.75]])
    assert run(compose_detector(written_head(rows, slice(4, 7)), "detr_scored", LABELS), WHITE)[2].tolist() == [[1]]


def test_more_boxes_than_are_kept_are_cut_to_the_best_hundred() -> None:
    rows = np.array([[x % 40, 0, x % 40 + 20, 20, (x + 1) / 200, 0] for x in range(150)])
    composed = compose_detector(written_head(rows, slice(4, 5)), "yolo_e2e", LABELS, score_threshold=0.1)
    _, scores, _ = run(composed, WHITE)
    assert composed.keep == 100
    np.testing.assert_allclose(scores[0], [(150 - place) / 200 for place in range(100)], atol=1e-5)


def test_fewer_candidates_than_are_kept_are_all_there_is_room_for() -> None:
    rows = np.array([[1, 2, 30, 40, 0.5, 2], [5, 6, 50, 60, 0.8, 0]])
    composed = compose_detector(written_head(rows, slice(4, 5)), "yolo_e2e", LABELS)
    assert composed.keep == 2
    assert run(composed, WHITE)[1].shape == (1, 2)


def test_a_black_frame_between_others_stays_empty() -> None:
    rows = np.array([[0.5, 0.5, 0.5, 0.5, 0.3, 0.75, 0.1]])
    composed = compose_detector(written_head(rows, slice(4, 7)), "detr_scored", LABELS)
    _, scores, classes = run(composed, np.concatenate([WHITE, BLACK, WHITE]))
    np.testing.assert_allclose(scores[:, 0], [0.75, 0.0, 0.75], atol=1e-5)
    assert classes.tolist() == [[1], [-1], [1]]


def test_suppression_inside_an_export_is_unrolled_for_one_picture_and_run_on_one_after_the_other() -> None:
    assert compose_detector(NMS, "yolo_e2e", LABELS).one_by_one
    assert not compose_detector(E2E, "yolo_e2e", LABELS).one_by_one


def test_pictures_after_the_first_are_not_lost_where_noise_would_not_show_it() -> None:
    exported = suppressing_yolo(picky=True)
    noise = frames(1)
    assert not run_export(exported, noise[0]).any(), "nothing is found in noise, or this would prove nothing"
    composed = compose_detector(exported, "yolo_e2e", LABELS)
    found = run(composed, np.concatenate([noise, WHITE, BLACK, WHITE]))
    assert [int(np.count_nonzero(scores)) > 0 for scores in found[1]] == [False, True, False, True]
    expected = best_rows(run_export(exported, WHITE[0]), score=0.25, keep=composed.keep)
    assert_equal((found[0][3], found[1][3], found[2][3]), expected)


def test_an_export_that_answers_a_batch_with_its_first_picture_is_found_out() -> None:
    exported, pictures = borrowing_transformer(), frames(3)
    composed = compose_detector(exported, "detr_scored", LABELS)
    found = run(composed, pictures)
    assert composed.one_by_one
    for index, picture in enumerate(pictures):
        expected = best_rows(detr_rows(run_export(exported, picture)), score=0.25, keep=composed.keep)
        assert_equal((found[0][index], found[1][index], found[2][index]), expected)


def test_an_export_whose_batch_cannot_be_freed_is_run_on_one_picture_after_the_other() -> None:
    exported = tiny_yolo(batch="N")
    composed, pictures = compose_detector(exported, "yolo_raw", LABELS), frames(3)
    found = run(composed, pictures)
    assert composed.one_by_one
    for index, picture in enumerate(pictures):
        expected = decode(run_raw(exported, picture), score=0.25, iou=0.45, keep=composed.keep)
        assert_equal((found[0][index], found[1][index], found[2][index]), expected)


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_one_picture_after_the_other_holds_in_every_opset(opset: int) -> None:
    composed = compose_detector(tiny_yolo(batch="N", opset=opset), "yolo_raw", LABELS)
    whole = compose_detector(tiny_yolo(opset=opset), "yolo_raw", LABELS)
    assert composed.one_by_one
    assert not whole.one_by_one
    assert_equal(run(composed, frames(3)), run(whole, frames(3)))
