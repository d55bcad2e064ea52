"""Exports of the other families, small enough to be read: heads written down row by row, and networks with known weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

SIDE = 64
Floats = NDArray[np.float32]


def export(
    nodes: list[NodeProto],
    weights: dict[str, NDArray[Any]],
    output: list[int | str | None],
    *,
    batch: int | str = 1,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A model from `images` FLOAT [batch,3,64,64] to `output0`."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    data: bytes = model.SerializeToString()
    return data


def written_head(
    rows: NDArray[Any],
    scores: slice,
    *,
    white: float = 1,
    batch: int | str = "batch",
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Answers `rows` [A,B] to a white picture, with the columns `scores` of it times the brightness: to black, none at all."""
    lit = np.zeros(rows.shape[1], np.float32)
    lit[scores] = 1
    weights: dict[str, NDArray[Any]] = {
        "lit": (rows * lit)[None].astype(np.float32),
        "always": (rows * (1 - lit))[None].astype(np.float32),
        "white": np.array(white, np.float32),
        "flat": np.array([0, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Div", ["mean", "white"], ["share"]),
        helper.make_node("Reshape", ["share", "flat"], ["brightness"]),
        helper.make_node("Mul", ["lit", "brightness"], ["bright"]),
        helper.make_node("Add", ["bright", "always"], ["output0"]),
    ]
    return export(nodes, weights, [batch, *rows.shape], batch=batch, metadata=metadata)


def small_yolox(*, classes: int = 3, seed: int = 3, opset: int = 11) -> bytes:
    """Three convolutions, one a stride, flattened by Reshapes that bake a batch of 1: `output0` [1,84,5+C]."""
    rng = np.random.default_rng(seed)
    rows = 5 + classes
    weights: dict[str, NDArray[Any]] = {"flat": np.array([1, rows, -1], np.int64)}
    nodes = []
    for stride in (8, 16, 32):
        kernels = rng.normal(0, 6 / stride / 255, (rows, 3, stride, stride))
        # Places move by parts of a cell, sizes by a factor of two or so, and an even picture says next to nothing.
        kernels[:4] *= 0.2
        kernels -= 0.98 * kernels.mean(axis=(1, 2, 3), keepdims=True)
        weights[f"w{stride}"] = kernels.astype(np.float32)
        weights[f"b{stride}"] = np.concatenate([np.zeros(2), np.full(2, 0.7), np.zeros(rows - 4)]).astype(np.float32)
        inputs = ["images", f"w{stride}", f"b{stride}"]
        nodes.append(helper.make_node("Conv", inputs, [f"f{stride}"], strides=[stride, stride]))
        nodes.append(helper.make_node("Reshape", [f"f{stride}", "flat"], [f"c{stride}"]))
    weights["ends"], weights["starts"] = np.array([4, rows], np.int64), np.array([0, 4], np.int64)
    weights |= {
        name: np.array([value], np.int64) for name, value in {"zero": 0, "four": 4, "last": rows, "one": 1}.items()
    }
    nodes += [
        helper.make_node("Concat", ["c8", "c16", "c32"], ["cells"], axis=2),
        helper.make_node("Slice", ["cells", "zero", "four", "one"], ["place"]),
        helper.make_node("Slice", ["cells", "four", "last", "one"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["chances"]),
        helper.make_node("Concat", ["place", "chances"], ["columns"], axis=1),
        helper.make_node("Transpose", ["columns"], ["output0"], perm=[0, 2, 1]),
    ]
    return export(nodes, weights, [1, 84, rows], opset=opset)


def borrowing_transformer() -> bytes:
    """As `small_transformer("detr")`, but every picture of a batch is answered as the first: an index that was baked in."""
    weights: dict[str, NDArray[Any]] = {
        "weight": np.random.default_rng(5).normal(0, 0.2, (7, 3, 16, 16)).astype(np.float32),
        "flat": np.array([0, 7, 16], np.int64),
        "from": np.array([0], np.int64),
        "to": np.array([1], np.int64),
        "none": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["images", "none"], ["room"]),
        helper.make_node("Slice", ["images", "from", "to", "from"], ["first"]),
        helper.make_node("Add", ["room", "first"], ["pictures"]),
        helper.make_node("Conv", ["pictures", "weight"], ["features"], strides=[16, 16]),
        helper.make_node("Reshape", ["features", "flat"], ["columns"]),
        helper.make_node("Sigmoid", ["columns"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["output0"], perm=[0, 2, 1]),
    ]
    return export(nodes, weights, ["batch", 16, 7], batch="batch")


def small_transformer(kind: str, *, classes: int = 3, seed: int = 5, opset: int = 17, batch: int | str = 1) -> bytes:
    """16 queries, each from its own quarter of a quarter: `detr` answers [N,16,4+C], `end to end` [N,16,6] with whole classes and
    scores in steps of a tenth, so that many are equal."""
    rng = np.random.default_rng(seed)
    rows = 4 + classes if kind == "detr" else 6
    weights: dict[str, NDArray[Any]] = {
        "weight": rng.normal(0, 0.2, (rows, 3, 16, 16)).astype(np.float32),
        "flat": np.array([1, rows, 16], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["features"], strides=[16, 16]),
        helper.make_node("Reshape", ["features", "flat"], ["columns"]),
        helper.make_node("Sigmoid", ["columns"], ["unit"]),
    ]
    if kind == "detr":
        nodes.append(helper.make_node("Transpose", ["unit"], ["output0"], perm=[0, 2, 1]))
        return export(nodes, weights, [batch, 16, rows], opset=opset, batch=batch)
    # x1, y1 in the near half and x2, y2 in the far one, in pixels; ten scores; `classes` classes.
    weights["spread"] = np.array([32, 32, 32, 32, 10, classes], np.float32).reshape(1, 6, 1)
    weights["shift"] = np.array([0, 0, 32, 32, 0, 0], np.float32).reshape(1, 6, 1)
    weights["shrink"] = np.array([1, 1, 1, 1, 0.1, 1], np.float32).reshape(1, 6, 1)
    nodes += [
        helper.make_node("Mul", ["unit", "spread"], ["spreaded"]),
        helper.make_node("Add", ["spreaded", "shift"], ["moved"]),
        helper.make_node("Floor", ["moved"], ["whole"]),
        helper.make_node("Mul", ["whole", "shrink"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["output0"], perm=[0, 2, 1]),
    ]
    return export(nodes, weights, [batch, 16, rows], opset=opset, batch=batch)


def suppressing_yolo(*, seed: int = 9, keep: int = 20, picky: bool = False) -> bytes:
    """As Ultralytics exports with `nms=True`: suppression for a batch of 1, rows of x1 y1 x2 y2 score class, then zeros.

    `picky` finds boxes in bright pictures only, and answers a batch with rows for its first picture and zeros for the others: so
    does an export with a dynamic batch, in which the loop over the pictures was unrolled for one.
    """
    rng = np.random.default_rng(seed)
    kernels = rng.normal(0, 0.3, (7, 3, 4, 4))
    if picky:
        brightness = np.array([0.19, 0.2, 0.21]).reshape(3, 1, 1, 1)
        kernels[4:] += brightness - kernels[4:].mean(axis=(1, 2, 3), keepdims=True)
    weights: dict[str, NDArray[Any]] = {
        "weight": kernels.astype(np.float32),
        "bias": np.array([0] * 4 + [-8 if picky else 0] * 3, np.float32),
        "flat": np.array([1, 7, 256], np.int64),
        "split": np.array([2, 2, 3], np.int64),
        "side": np.array(SIDE, np.float32),
        "span": np.array(20, np.float32),
        "most": np.array([keep], np.int64),
        "iou": np.array([0.3], np.float32),
        "score": np.array([0.6], np.float32),
        "column": np.array([2], np.int64),
        "rows": np.zeros((keep, 6), np.float32),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Slice", ["images", "zero", "one", "zero"], ["first picture"]),
        node("Conv", ["first picture", "weight", "bias"], ["features"], strides=[4, 4]),
        node("Reshape", ["features", "flat"], ["columns"]),
        node("Sigmoid", ["columns"], ["unit"]),
        node("Split", ["unit", "split"], ["corner", "size", "scores"], axis=1),
        node("Mul", ["corner", "side"], ["low"]),
        node("Mul", ["size", "span"], ["extent"]),
        node("Add", ["low", "extent"], ["high"]),
        node("Concat", ["low", "high"], ["planes"], axis=1),
        node("Transpose", ["planes"], ["boxes"], perm=[0, 2, 1]),
        node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["picked"]),
        node("Gather", ["picked", "column"], ["cells"], axis=1),
        node("Squeeze", ["cells", "one"], ["cell"]),
        node("Squeeze", ["boxes", "zero"], ["plain"]),
        node("Gather", ["plain", "cell"], ["found"], axis=0),
        node("GatherND", ["scores", "picked"], ["chance"]),
        node("Unsqueeze", ["chance", "one"], ["chances"]),
        node("Gather", ["picked", "one"], ["kinds"], axis=1),
        node("Cast", ["kinds"], ["classes"], to=TensorProto.FLOAT),
        node("Concat", ["found", "chances", "classes"], ["real"], axis=1),
        node("Concat", ["real", "rows"], ["padded"], axis=0),
        node("Slice", ["padded", "zero", "most", "zero"], ["first"]),
        node("Unsqueeze", ["first", "zero"], ["one answer"]),
    ]
    if not picky:
        return export([*nodes, node("Identity", ["one answer"], ["output0"])], weights, [1, keep, 6])
    weights |= {
        "apart": np.array([0, 1, 1], np.int64),
        "where": np.array([[0]], np.int64),
        "dark": np.array(0, np.float32),
    }
    nodes += [
        node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        node("Mul", ["mean", "dark"], ["nothing"]),
        node("Reshape", ["nothing", "apart"], ["nothings"]),
        node("Add", ["nothings", "rows"], ["blank"]),
        node("ScatterND", ["blank", "where", "one answer"], ["output0"]),
    ]
    return export(nodes, weights, ["batch", keep, 6], batch="batch")


def run_export(exported: bytes, frame: NDArray[np.uint8], *, white: float = 1, bgr: bool = False) -> Floats:
    """What the export itself says of one frame [64,64,3] RGB, by onnx's reference implementation, without the batch."""
    picture = (frame[:, :, ::-1] if bgr else frame).astype(np.float32) * np.float32(white / 255)
    evaluator = ReferenceEvaluator(onnx.load_from_string(exported))
    heads = evaluator.run(None, {"images": np.ascontiguousarray(picture.transpose(2, 0, 1)[None])})
    assert isinstance(heads, list)
    head: Floats = heads[0][0]
    return head


def yolox_rows(head: Floats, side: int = SIDE) -> Floats:
    """[A,5+C] → the layout of `tests.support.detectors.decode`, [4+C,A]: each cell decoded on its own, as YOLOX' paper says."""
    decoded, candidate = np.empty((head.shape[1] - 1, head.shape[0]), np.float32), 0
    for stride in (8, 16, 32):
        for row in range(side // stride):
            for column in range(side // stride):
                x, y, width, height, objectness, *chances = head[candidate].tolist()
                centre = ((x + column) * stride, (y + row) * stride)
                size = (float(np.exp(width)) * stride, float(np.exp(height)) * stride)
                decoded[:, candidate] = [*centre, *size, *(objectness * chance for chance in chances)]
                candidate += 1
    return decoded


def best_rows(rows: Floats, *, score: float, keep: int) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """[K,6] x1 y1 x2 y2 score class → boxes, scores, classes, padded: strictly above the threshold, the best first, and of
    equals the first."""
    found = sorted((row for row in rows.tolist() if row[4] > score), key=lambda row: -row[4])[:keep]
    boxes, scores, classes = np.zeros((keep, 4)), np.zeros(keep), np.full(keep, -1)
    for index, (*box, chance, number) in enumerate(found):
        boxes[index], scores[index], classes[index] = box, chance, int(number)
    return boxes.astype(np.float32), scores.astype(np.float32), classes.astype(np.int32)


def detr_rows(head: Floats, side: int = SIDE) -> Floats:
    """[Q,4+C] → [Q,6]: the best class of each query, its box in pixels."""
    rows = []
    for x, y, width, height, *chances in head.tolist():
        best = max(range(len(chances)), key=chances.__getitem__)
        box = [(x - width / 2) * side, (y - height / 2) * side, (x + width / 2) * side, (y + height / 2) * side]
        rows.append([*box, chances[best], best])
    return np.array(rows, np.float32)
