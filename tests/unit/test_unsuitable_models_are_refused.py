"""What cannot be served is refused when it is composed, with what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onnx import TensorProto

from tests.support.detectors import LABELS, SIZE, tiny_yolo
from vidette_models.compose import compose_detector
from vidette_models.errors import UnsupportedModel

CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a text file": (lambda: b"not a model at all", "not an ONNX file", "an ONNX model"),
    "an empty file": (lambda: b"", "not an ONNX file", "an ONNX model"),
    "half a file": (lambda: tiny_yolo()[:900], "not an ONNX file", "an ONNX model"),
    "an old opset": (lambda: tiny_yolo(opset=10), "opset 10", "11 or later"),
    "four channels": (lambda: tiny_yolo(channels=4), "images FLOAT [1, 4, 64, 64]", "FLOAT [N or 1, 3, S, S]"),
    "a double input": (lambda: tiny_yolo(kind=TensorProto.DOUBLE), "images DOUBLE", "FLOAT [N or 1, 3, S, S]"),
    "a fixed batch of four": (lambda: tiny_yolo(batch=4), "[4, 3, 64, 64]", "FLOAT [N or 1, 3, S, S]"),
    "an open size": (lambda: tiny_yolo(size="side"), "'side'", "give the size"),
    "no classes": (lambda: tiny_yolo(classes=0), "[N, 4, 256]", "[N, 4 + 3 classes, candidates]"),
    "a class too many": (lambda: tiny_yolo(classes=4), "3 names for output [N, 8, 256]", "a name for each class"),
    "a batch lost in a Reshape": (lambda: tiny_yolo(batch="N"), "two pictures at once", "dynamic batch axis"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_what_was_found_and_what_was_expected(case: str) -> None:
    export, found, expected = CASES[case]
    with pytest.raises(UnsupportedModel) as refusal:
        compose_detector(export(), "yolo_raw", LABELS)
    assert found in str(refusal.value)
    assert expected in str(refusal.value)


def test_an_undeclared_family_is_refused_with_the_declared_ones() -> None:
    with pytest.raises(UnsupportedModel, match="'yolo_guess'; expected one of yolo_raw"):
        compose_detector(tiny_yolo(), "yolo_guess", LABELS)


def test_another_size_than_the_exported_one_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="size 96 was asked for"):
        compose_detector(tiny_yolo(), "yolo_raw", LABELS, size=96)


def test_the_exported_size_may_be_named() -> None:
    assert compose_detector(tiny_yolo(), "yolo_raw", LABELS, size=SIZE).size == SIZE
