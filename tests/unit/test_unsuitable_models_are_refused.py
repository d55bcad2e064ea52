"""What cannot be served is refused when it is composed, with what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.detectors import LABELS, SIZE, tiny_yolo
from vidette_models.compose import compose_detector
from vidette_models.errors import UnsupportedModel


def changed(**fields: int) -> bytes:
    """The small detector with other fields in its file."""
    model = onnx.load_from_string(tiny_yolo())
    for name, value in fields.items():
        setattr(model, name, value)
    data: bytes = model.SerializeToString()
    return data


def two_heads() -> bytes:
    model = onnx.load_from_string(tiny_yolo())
    model.graph.output.append(helper.make_tensor_value_info("unit", TensorProto.FLOAT, [1, 7, 256]))
    data: bytes = model.SerializeToString()
    return data


def weights_elsewhere() -> bytes:
    model = onnx.load_from_string(tiny_yolo())
    elsewhere(model.graph.initializer[0])
    data: bytes = model.SerializeToString()
    return data


def constants_elsewhere() -> bytes:
    model = onnx.load_from_string(tiny_yolo())
    node = helper.make_node("Constant", [], ["unused"], value=numpy_helper.from_array(np.zeros(3, np.float32)))
    elsewhere(node.attribute[0].t)
    model.graph.node.insert(0, node)
    data: bytes = model.SerializeToString()
    return data


def elsewhere(tensor: TensorProto) -> None:
    """Let a tensor's bytes be those of a file that is none of the model's business."""
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def unknown_operator() -> bytes:
    model = onnx.load_from_string(tiny_yolo())
    model.graph.node[0].op_type = "Clairvoyance"
    data: bytes = model.SerializeToString()
    return data


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
    "a batch that not even one picture fits": (
        lambda: tiny_yolo(batch="N", baked_batch=3),
        "one picture: found ",
        "expected a result",
    ),
    "an opset from the future": (lambda: tiny_yolo(opset=99), "opset 99", "Export it again with opset"),
    "a file format from the future": (
        lambda: changed(ir_version=99),
        "IR version 99",
        "an older release of the exporter",
    ),
    "half precision": (lambda: tiny_yolo(kind=TensorProto.FLOAT16), "images FLOAT16", "Export it in full precision"),
    "a PyTorch checkpoint": (lambda: b"PK\x03\x04" + bytes(2000), "a ZIP archive, as PyTorch's .pt is", "to ONNX"),
    "two heads": (two_heads, "outputs ['output0', 'unit']", "one output"),
    "a size beyond all use": (lambda: tiny_yolo(size=8192), "8192 pixels", "32 to 4096"),
    "weights elsewhere": (weights_elsewhere, "external data", "Export without external data"),
    "constants elsewhere": (constants_elsewhere, "external data", "Export without external data"),
    "an operator of nobody": (unknown_operator, "Clairvoyance", "a valid model"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_what_was_found_and_what_was_expected(case: str) -> None:
    export, found, expected = CASES[case]
    with pytest.raises(UnsupportedModel) as refusal:
        compose_detector(export(), "yolo_raw", LABELS)
    assert found in str(refusal.value)
    assert expected in str(refusal.value)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"lost\.onnx: No such file"):
        compose_detector(tmp_path / "lost.onnx", "yolo_raw", LABELS)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="Is a directory"):
        compose_detector(tmp_path, "yolo_raw", LABELS)


@pytest.mark.parametrize(("score", "iou"), [(1.5, 0.5), (-0.1, 0.5), (0.5, 1.01), (float("nan"), 0.5)])
def test_a_threshold_outside_0_to_1_is_refused(score: float, iou: float) -> None:
    with pytest.raises(UnsupportedModel, match=r"threshold: found .*; expected 0 to 1"):
        compose_detector(tiny_yolo(), "yolo_raw", LABELS, score_threshold=score, iou_threshold=iou)


def test_an_undeclared_family_is_refused_with_the_declared_ones() -> None:
    with pytest.raises(UnsupportedModel, match="'yolo_guess'; expected one of yolo_raw"):
        compose_detector(tiny_yolo(), "yolo_guess", LABELS)


def test_another_size_than_the_exported_one_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="size 96 was asked for"):
        compose_detector(tiny_yolo(), "yolo_raw", LABELS, size=96)


def test_the_exported_size_may_be_named() -> None:
    assert compose_detector(tiny_yolo(), "yolo_raw", LABELS, size=SIZE).size == SIZE
