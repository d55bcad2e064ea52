"""A head that is not of the declared family is refused, and where it plainly is of another, that one is named.

What shapes do not show is seen in the numbers that the model answers: a family that is declared is still held to its word.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.detectors import LABELS, tiny_yolo
from tests.support.exports import small_transformer, small_yolox, suppressing_yolo, written_head
from vidette_models.compose import compose_detector
from vidette_models.errors import UnsupportedModel
from vidette_models.families import FAMILIES, Head

EXPORTS = {
    "yolo_raw": tiny_yolo(),
    "yolo_e2e": small_transformer("end to end"),
    "yolox": small_yolox(),
    "detr_scored": small_transformer("detr"),
}


def refusal(exported: bytes, family: str, labels: tuple[str, ...] = LABELS) -> str:
    with pytest.raises(UnsupportedModel) as refused:
        compose_detector(exported, family, labels)
    return str(refused.value)


@pytest.mark.parametrize("declared", FAMILIES)
@pytest.mark.parametrize("real", FAMILIES)
def test_each_family_takes_its_own_exports_and_names_the_family_of_others(real: str, declared: str) -> None:
    if real == declared:
        assert compose_detector(EXPORTS[real], declared, LABELS).family == real
    else:
        assert f"This head is one of family {real}: if the model was exported so, declare that." in refusal(
            EXPORTS[real], declared
        )


@pytest.mark.parametrize("family", ["yolo_raw", "yolox", "detr_scored"])
@pytest.mark.parametrize("labels", [LABELS[:2], (*LABELS, "ring")])
def test_a_label_too_few_or_too_many_is_refused_with_both_numbers(family: str, labels: tuple[str, ...]) -> None:
    message = refusal(EXPORTS[family], family, labels)
    assert f"{len(labels)} names for output" in message
    assert "which has 3 classes; expected a name for each class" in message


@pytest.mark.parametrize("number", [79, 3, -1])
def test_a_class_beyond_the_labels_is_seen_in_what_the_model_answers(number: int) -> None:
    rows = np.array([[1, 2, 30, 40, 0.5, number], [5, 6, 50, 60, 0.8, 0]])
    assert f"3 names, and class {number}" in refusal(written_head(rows, slice(4, 5)), "yolo_e2e")


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2]])
def test_a_transformer_that_chooses_its_best_queries_itself_is_told_from_one_with_two_classes(
    labels: tuple[str, ...],
) -> None:
    rows = np.array([[0.5, 0.5, 0.2, 0.3, 0.9, 1], [0.1, 0.2, 0.2, 0.3, 0.8, 0]])
    message = refusal(written_head(rows, slice(4, 5)), "detr_scored", labels)
    assert "found [N, 2, 6] with whole numbers last, a score and a class for each row" in message
    assert "before May 2026" in message
    two = np.array([[0.5, 0.5, 0.2, 0.3, 0.9, 0.2], [0.1, 0.2, 0.2, 0.3, 0.8, 0.1]])
    assert compose_detector(written_head(two, slice(4, 6)), "detr_scored", LABELS[:2]).keep == 2


def test_the_number_of_classes_in_an_exports_metadata_is_held_against_the_labels() -> None:
    rows = np.array([[1, 2, 30, 40, 0.5, 1]])
    names = {"names": str(dict(enumerate(("cat", "dog"))))}
    exported = written_head(rows, slice(4, 5), metadata=names)
    assert "3 names, and 2 in the model's metadata" in refusal(exported, "yolo_e2e")
    assert compose_detector(exported, "yolo_e2e", ("Katze", "Hund")).labels == ("Katze", "Hund")


@pytest.mark.parametrize("names", ["", "none", "{" * 5000, "[]", "{1: 2", "3", "__import__('os')"])
def test_metadata_that_says_nothing_is_no_evidence(names: str) -> None:
    exported = written_head(np.array([[1, 2, 30, 40, 0.5, 1]]), slice(4, 5), metadata={"names": names})
    assert compose_detector(exported, "yolo_e2e", LABELS).labels == LABELS


def test_a_model_that_says_it_does_something_else_is_refused() -> None:
    exported = written_head(np.array([[1, 2, 30, 40, 0.5, 1]]), slice(4, 5), metadata={"task": "segment"})
    assert "task 'segment' in its metadata; expected task 'detect'" in refusal(exported, "yolo_e2e")


def test_pixels_are_no_shares_of_the_picture() -> None:
    rows = np.array([[32, 32, 16, 16, 0.5, 0.2, 0.1]])
    assert "boxes of a detr_scored detector: found numbers up to 32; expected 0 to 1" in refusal(
        written_head(rows, slice(4, 7)), "detr_scored"
    )


def test_shares_of_the_picture_are_no_pixels() -> None:
    rows = np.array([[0.5, 0.5, 0.2, 0.3, 0.9, 2], [0.1, 0.2, 0.2, 0.3, 0.8, 1]])
    message = refusal(written_head(rows, slice(4, 5)), "yolo_e2e")
    assert "boxes of a yolo_e2e detector: found boxes within 0.5; expected pixels" in message


def test_logits_are_no_probabilities() -> None:
    rows = np.array([[0.5, 0.5, 0.2, 0.3, 4.0, -9.0, 1.0]])
    message = refusal(written_head(rows, slice(4, 7)), "detr_scored")
    assert "in the columns of scores; expected 0 to 1" in message


def test_cells_that_the_export_decoded_already_are_refused_with_the_exporters_switch() -> None:
    rows = np.tile(np.array([32.0, 32, 24, 24, 0.9, 0.5, 0.2, 0.1]), (84, 1))
    message = refusal(written_head(rows, slice(4, 8), white=255), "yolox")
    assert "as of boxes decoded already" in message
    assert "without --decode_in_inference" in message


def test_numbers_that_are_none_are_refused() -> None:
    rows = np.array([[0.5, np.nan, 0.2, 0.3, 0.5, 0.1, 0.1]])
    assert "not finite" in refusal(written_head(rows, slice(4, 7)), "detr_scored")


def test_a_side_that_the_strides_do_not_divide_is_no_yolox() -> None:
    with pytest.raises(UnsupportedModel, match="found 68 pixels; expected a multiple of 32"):
        FAMILIES["yolox"].check(Head(np.zeros((2, 84, 8), np.float32), side=68, labels=3))


def test_an_export_that_suppresses_itself_is_no_raw_head() -> None:
    assert "family yolo_e2e" in refusal(suppressing_yolo(), "yolo_raw")


@pytest.mark.parametrize("labels", [(), ("a", "", "c"), ("a", "b", "a"), ("a", "b", "c" * 201), ("a", "b", "c\n")])
def test_labels_that_are_none_are_refused_before_the_model_is_looked_at(labels: tuple[str, ...]) -> None:
    assert refusal(b"not a model", "yolo_raw", labels).startswith("labels: found ")
