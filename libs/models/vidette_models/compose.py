"""An exported detector in, a served one out: frames in, final boxes out, as `vidette_core.domain.pipelines.Detector` says.

Everything between, normalisation, decoding and suppression, is standard ONNX operators, so that the server runs no code of
ours and any backend that runs ONNX can serve it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from vidette_core.domain.pipelines import Letterbox
from vidette_models.batching import free_batch, prove_batches
from vidette_models.errors import UnsupportedModel
from vidette_models.families import Family, family_named
from vidette_models.graph import GraphBuilder, dims, element_type, graph_inputs, isolate, opset, read_model, write_model
from vidette_models.postprocess import IOU_THRESHOLD, MAX_DETECTIONS, SCORE_THRESHOLD, suppress


@dataclass(frozen=True, slots=True)
class ComposedDetector:
    """A detector ready to be served.

    `onnx`: `frames` UINT8 [N,size,size,3] RGB → `boxes` FP32 [N,keep,4] (x1, y1, x2, y2 in letterbox pixels), `scores` FP32
    [N,keep] descending with 0 as padding, `classes` INT32 [N,keep] with -1 as padding.
    """

    onnx: bytes
    family: str
    size: int
    letterbox: Letterbox
    labels: tuple[str, ...]
    score_threshold: float
    iou_threshold: float
    keep: int


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
        score_threshold: detections at or below it are dropped.
        iou_threshold: of two boxes of one class that overlap more, the weaker is dropped.

    Raises:
        UnsupportedModel: not an ONNX model, not of this family, or it cannot take more than one picture at a time.
    """
    kind = family_named(family)
    model = read_model(source)
    side = _side(model, size)
    model = isolate(model)
    free_batch(model)
    candidates = kind.check(prove_batches(model, (3, side, side)), len(labels))
    keep = min(MAX_DETECTIONS, candidates)
    _wrap(model, kind, side=side, classes=len(labels), keep=keep, score=score_threshold, iou=iou_threshold)
    return ComposedDetector(
        onnx=write_model(model),
        family=family,
        size=side,
        letterbox=kind.letterbox,
        labels=labels,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        keep=keep,
    )


def _side(model: onnx.ModelProto, size: int | None) -> int:
    """Hold the declared input and output against `FLOAT [N or 1,3,S,S]` → one FLOAT tensor, and return S."""
    inputs, outputs = graph_inputs(model), list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"inputs {[value.name for value in inputs]}, outputs {[value.name for value in outputs]}"
        raise UnsupportedModel("inputs and outputs", found=found, expected="one input and one output")
    shape, expected = dims(inputs[0]), "FLOAT [N or 1, 3, S, S]"
    found = f"{inputs[0].name} {element_type(inputs[0])} {[dim if dim is not None else '?' for dim in shape]}"
    wrong_batch = bool(shape) and isinstance(shape[0], int) and shape[0] != 1
    if element_type(inputs[0]) != "FLOAT" or len(shape) != 4 or shape[1] != 3 or wrong_batch:
        raise UnsupportedModel("input", found=found, expected=expected)
    if element_type(outputs[0]) != "FLOAT":
        raise UnsupportedModel("output", found=element_type(outputs[0]), expected="FLOAT")
    sides = {dim for dim in shape[2:] if isinstance(dim, int)} | ({size} if size is not None else set())
    if not sides:
        raise UnsupportedModel("input", found=found, expected=expected, remedy="Its S is open: give the size to use.")
    if len(sides) > 1:
        asked = f", and size {size} was asked for" if size is not None else ""
        raise UnsupportedModel("input", found=found + asked, expected="one size for height and width")
    return sides.pop()


def _wrap(
    model: onnx.ModelProto, family: Family, *, side: int, classes: int, keep: int, score: float, iou: float
) -> None:
    graph = model.graph
    source, head = graph_inputs(model)[0].name, graph.output[0].name
    inner = list(graph.node)
    del graph.node[:]
    builder = GraphBuilder(graph, opset(model), "vidette")
    family.prepare(builder, "frames", source)
    graph.node.extend(inner)
    suppress(builder, family.decode(builder, head), classes=classes, keep=keep, score=score, iou=iou)
    weights = [value for value in graph.input if value.name != source]
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", side, side, 3]))
    graph.input.extend(weights)
    graph.output.extend(
        (
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", keep, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", keep]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, ["N", keep]),
        )
    )
