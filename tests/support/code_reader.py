"""A detector that reads the block code of `tests.support.clips`, so that frame numbers are proved through the whole stack.

Its graph has the contract of every detector in the repository and computes the frame's number as the class of one box whose
score is 1 when the check byte is right. It takes a millisecond, where reading digits by OCR takes a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.support.clips import BLOCK, CHECK, COLUMNS, GREY, HEIGHT, LEFT, ROWS, TOP, WIDTH
from vidette_core.domain.pipelines import Catalog, Detector, Letterbox, Pipeline
from vidette_models.repository import Repository
from vidette_models.served import ServedModel

PIPELINE_ID = "code"
NUMBERS = 2048
"""Labels are the numbers 0…2047: a clip of more frames needs more."""
_SIZE = 320


def code_reader() -> bytes:
    """`frames` UINT8 [N,320,320,3], a 320×180 picture centred → `boxes` [N,1,4], `scores` [N,1], `classes` [N,1]."""
    above = (_SIZE - HEIGHT) // 2
    constants: dict[str, NDArray[Any]] = {
        "ys": np.array([above + TOP + BLOCK // 2 + BLOCK * row for row in range(ROWS)], np.int64),
        "xs": np.array([LEFT + BLOCK // 2 + BLOCK * column for column in range(COLUMNS)], np.int64),
        "grey": np.array(float(GREY), np.float32),
        "bits": (2.0 ** np.arange(COLUMNS - 1, -1, -1)).astype(np.float32)[:, None],
        "to_number": np.array([[256.0], [1.0], [0.0]], np.float32),
        "to_check": np.array([[3.0], [1.0], [-1.0]], np.float32),
        "check": np.array(float(CHECK), np.float32),
        "byte": np.array(256.0, np.float32),
        "zero": np.array(0.0, np.float32),
        "box": np.array([[[0, above, WIDTH, above + HEIGHT]]], np.float32),
        "last": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["frames", "ys"], ["rows"], axis=1),
        helper.make_node("Gather", ["rows", "xs"], ["blocks"], axis=2),
        helper.make_node("Cast", ["blocks"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels"], ["light"], axes=[3], keepdims=0),
        helper.make_node("Greater", ["light", "grey"], ["white"]),
        helper.make_node("Cast", ["white"], ["ones_and_zeros"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["ones_and_zeros", "bits"], ["columns"]),
        helper.make_node("Squeeze", ["columns", "last"], ["bytes"]),
        helper.make_node("MatMul", ["bytes", "to_number"], ["number"]),
        helper.make_node("Cast", ["number"], ["classes"], to=TensorProto.INT32),
        helper.make_node("MatMul", ["bytes", "to_check"], ["difference"]),
        helper.make_node("Add", ["difference", "check"], ["remainder"]),
        helper.make_node("Mod", ["remainder", "byte"], ["wrong"], fmod=1),
        helper.make_node("Equal", ["wrong", "zero"], ["right"]),
        helper.make_node("Cast", ["right"], ["scores"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["scores", "last"], ["score_box"]),
        helper.make_node("Mul", ["score_box", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "box"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "code-reader",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", _SIZE, _SIZE, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, ["N", 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def add_code_pipeline(models: Path) -> None:
    """Put the reader and its pipeline `code` into a model repository, beside what is there or will be."""
    repository = Repository(models)
    with repository.locked():
        detector = Detector(
            model=repository.add(ServedModel("code-reader", code_reader(), 16)),
            family="code",
            size=_SIZE,
            letterbox=Letterbox.CENTRE,
            labels=tuple(str(number) for number in range(NUMBERS)),
            score_threshold=0.5,
            iou_threshold=0.5,
        )
        known = repository.catalog() or Catalog(pipelines=())
        others = tuple(pipeline for pipeline in known.pipelines if pipeline.id != PIPELINE_ID)
        pipeline = Pipeline(id=PIPELINE_ID, description="Reads the test code", detector=detector, text=None)
        repository.publish(Catalog(pipelines=(*others, pipeline)))
