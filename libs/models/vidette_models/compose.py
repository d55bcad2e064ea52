"""An exported detector in, a served one out: frames in, final boxes out, as `vidette_core.domain.pipelines.Detector` says.

Everything between, normalisation, decoding and suppression, is standard ONNX operators, so that the server runs no code of
ours and any backend that runs ONNX can serve it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from vidette_core.domain.pipelines import SIDES, Letterbox
from vidette_models.batching import answer_to_noise, make_batched
from vidette_models.errors import UnsupportedModel
from vidette_models.families import Colours, Family, Head, Pixels, check_head, family_named
from vidette_models.graph import (
    Dim,
    GraphBuilder,
    dims,
    element_type,
    graph_inputs,
    isolate,
    opset,
    read_model,
    write_model,
)
from vidette_models.labels import check_labels
from vidette_models.metadata import check_metadata
from vidette_models.postprocess import IOU_THRESHOLD, MAX_DETECTIONS, SCORE_THRESHOLD, Candidates, select, suppress


@dataclass(frozen=True, slots=True)
class ComposedDetector:
    """A detector ready to be served.

    `onnx`: `frames` UINT8 [N,size,size,3] RGB → `boxes` FP32 [N,keep,4] (x1, y1, x2, y2 in letterbox pixels), `scores` FP32
    [N,keep] descending with 0 as padding, `classes` INT32 [N,keep] with -1 as padding. `one_by_one`: the export takes one picture
    only, so that the graph runs a batch's pictures one after the other; on a GPU an export with a dynamic batch is faster.
    """

    onnx: bytes
    family: str
    size: int
    letterbox: Letterbox
    labels: tuple[str, ...]
    score_threshold: float
    iou_threshold: float
    keep: int
    one_by_one: bool = False


def compose_detector(
    source: bytes | Path,
    family: str,
    labels: tuple[str, ...],
    *,
    size: int | None = None,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
) -> ComposedDetector:
    """Wrap an exported detector.

    Args:
        source: the exporter's ONNX file, or its bytes.
        family: the name of a declared family.
        labels: the name of each class, in the order of the head's classes.
        size: the letterbox's side in pixels; only needed when the export left it open.
        score_threshold: detections at or below it are dropped, in the graph; a pipeline can only be stricter.
        iou_threshold: of two boxes of one class that overlap more, the weaker is dropped. Without effect in families whose
            detector leaves one box for each object itself.

    Raises:
        UnsupportedModel: not an ONNX model, not of this family, the labels do not match it, or a threshold is not 0 to 1.
    """
    kind = family_named(family)
    check_labels(labels)
    _check_share("score threshold", score_threshold)
    _check_share("IoU threshold", iou_threshold)
    model = read_model(source)
    side = _side(model, size)
    check_metadata(model, len(labels))
    model, shape = isolate(model), (3, side, side)
    batched = make_batched(model, shape, kind.pixels.white)
    head = Head(batched.answer, side, len(labels))
    candidates = check_head(kind, head, lambda pixels: answer_to_noise(model, shape, pixels.white))
    keep = min(MAX_DETECTIONS, candidates)
    _wrap(batched.model, kind, head, keep=keep, score=score_threshold, iou=iou_threshold)
    return ComposedDetector(
        onnx=write_model(batched.model),
        family=family,
        size=side,
        letterbox=kind.letterbox,
        labels=labels,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        keep=keep,
        one_by_one=batched.one_by_one,
    )


def _check_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UnsupportedModel(what, found=f"{value:g}", expected="0 to 1")


def _side(model: onnx.ModelProto, size: int | None) -> int:
    """Hold the declared input and output against `FLOAT [N or 1,3,S,S]` → one FLOAT tensor, and return S."""
    inputs, outputs = graph_inputs(model), list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"inputs {[value.name for value in inputs]}, outputs {[value.name for value in outputs]}"
        raise UnsupportedModel("inputs and outputs", found=found, expected="one input and one output")
    shape, expected = dims(inputs[0]), "FLOAT [N or 1, 3, S, S]"
    found = f"{inputs[0].name} {element_type(inputs[0])} {[dim if dim is not None else '?' for dim in shape]}"
    _check_input(model, found, expected)
    sides = {dim for dim in shape[2:] if isinstance(dim, int)} | ({size} if size is not None else set())
    if not sides:
        raise UnsupportedModel("input", found=found, expected=expected, remedy="Its S is open: give the size to use.")
    if len(sides) > 1:
        asked = f", and size {size} was asked for" if size is not None else ""
        raise UnsupportedModel("input", found=found + asked, expected="one size for height and width")
    side = sides.pop()
    if not SIDES[0] <= side <= SIDES[1]:
        raise UnsupportedModel("size", found=f"{side} pixels", expected=f"{SIDES[0]} to {SIDES[1]}")
    return side


def _check_input(model: onnx.ModelProto, found: str, expected: str) -> None:
    (source,), (output,) = graph_inputs(model), model.graph.output
    shape = dims(source)
    # An axis may be open: exporters with every axis dynamic leave the planes so too, and running the model tells.
    fits = len(shape) == 4 and (_open(shape[0]) or shape[0] == 1) and (_open(shape[1]) or shape[1] == 3)
    if element_type(source) == "FLOAT16":
        remedy = "Export it in full precision; half precision is the server's to choose."
        raise UnsupportedModel("input", found=found, expected=expected, remedy=remedy)
    if element_type(source) != "FLOAT" or not fits:
        remedy = "Export for pictures of three planes, with a batch of 1 or a dynamic one."
        raise UnsupportedModel("input", found=found, expected=expected, remedy=remedy)
    if element_type(output) != "FLOAT":
        raise UnsupportedModel("output", found=element_type(output), expected="FLOAT")


def _open(dim: Dim) -> bool:
    return not isinstance(dim, int)


def _wrap(model: onnx.ModelProto, family: Family, head: Head, *, keep: int, score: float, iou: float) -> None:
    graph = model.graph
    source, output = graph_inputs(model)[0].name, graph.output[0].name
    inner = list(graph.node)
    del graph.node[:]
    builder = GraphBuilder(graph, opset(model), "vidette")
    _prepare(builder, family.pixels, source)
    graph.node.extend(inner)
    found = family.decode(builder, output, head)
    if isinstance(found, Candidates):
        suppress(builder, found, classes=head.labels, keep=keep, score=score, iou=iou)
    else:
        select(builder, found, keep=keep, score=score)
    weights = [value for value in graph.input if value.name != source]
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", head.side, head.side, 3]))
    graph.input.extend(weights)
    graph.output.extend(
        (
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", keep, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", keep]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, ["N", keep]),
        )
    )


def _prepare(builder: GraphBuilder, pixels: Pixels, output: str) -> None:
    """`frames` UINT8 [N,S,S,3] RGB → FLOAT [N,3,S,S]. Bytes change places before they become floats, for a quarter of the
    traffic."""
    planes = "frames"
    if pixels.colours is Colours.BGR:
        planes = builder.node("Gather", planes, builder.constant(np.array([2, 1, 0], np.int64)), axis=3)
    planes = builder.node("Transpose", planes, perm=[0, 3, 1, 2])
    if pixels.white == 255:
        builder.node("Cast", planes, to=TensorProto.FLOAT, output=output)
        return
    floats = builder.node("Cast", planes, to=TensorProto.FLOAT)
    builder.node("Div", floats, builder.scalar(255 / pixels.white), output=output)
