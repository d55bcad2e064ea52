"""A detector small enough to be read, exported the way Ultralytics exports, and the same decoding written again in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

SIZE = 64
STRIDE = 4
CELLS = (SIZE // STRIDE) ** 2
LABELS = ("square", "disc", "cross")

Floats = NDArray[np.float32]


def tiny_yolo(
    *,
    seed: int = 1,
    opset: int = 17,
    batch: int | str = 1,
    classes: int = len(LABELS),
    size: int | str = SIZE,
    channels: int = 3,
    kind: int = TensorProto.FLOAT,
    baked_batch: int = 1,
) -> bytes:
    """`images` [batch,3,S,S] → `output0` [batch,4+C,256]: one convolution, overlapping boxes, and batch 1 baked into a Reshape.

    With another `baked_batch` the picture's own batch is lost in the Reshape, as in exports that cannot be repaired.
    """
    rng = np.random.default_rng(seed)
    rows = 4 + classes
    weights: dict[str, NDArray[Any]] = {
        "weight": rng.normal(0, 0.35, (rows, channels, STRIDE, STRIDE)).astype(np.float32),
        "flat": np.array([baked_batch, rows, CELLS], np.int64),
        "split": np.array([4, classes], np.int64),
        "size": np.array(SIZE, np.float32),
        "quarter": np.array([1, 1, 0.4, 0.4], np.float32).reshape(1, 4, 1),
    }
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["features"], strides=[STRIDE, STRIDE]),
        helper.make_node("Reshape", ["features", "flat"], ["rows"]),
        helper.make_node("Sigmoid", ["rows"], ["unit"]),
        helper.make_node("Split", ["unit", "split"], ["place", "classes"], axis=1)
        if opset >= 13
        else helper.make_node("Split", ["unit"], ["place", "classes"], axis=1, split=[4, classes]),
        helper.make_node("Mul", ["place", "size"], ["pixels"]),
        helper.make_node("Mul", ["pixels", "quarter"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "classes"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", kind, [batch, channels, size, size])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, rows, CELLS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def run_raw(exported: bytes, frame: NDArray[np.uint8]) -> Floats:
    """What the exported model itself says of one frame [S,S,3], by onnx's reference implementation: [4+C,256]."""
    picture = (frame.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    evaluator = ReferenceEvaluator(onnx.load_from_string(exported))
    heads = evaluator.run(None, {"images": picture})
    assert isinstance(heads, list)
    head: Floats = heads[0][0]
    return head


def decode(head: Floats, *, score: float, iou: float, keep: int) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Best class of each candidate, then greedy suppression within each class, padded: the outputs for one frame."""
    centre, span, probabilities = head[:2].T, head[2:4].T, head[4:].T
    boxes = np.concatenate([centre - span / 2, centre + span / 2], axis=1)
    best, label = probabilities.max(axis=1), probabilities.argmax(axis=1)
    kept: list[int] = []
    for candidate in np.argsort(-best, kind="stable"):
        if best[candidate] <= score:
            break
        rivals = [other for other in kept if label[other] == label[candidate]]
        if all(_iou(boxes[candidate], boxes[other]) <= iou for other in rivals):
            kept.append(int(candidate))
    kept = kept[:keep]
    padding = keep - len(kept)
    return (
        np.pad(boxes[kept], ((0, padding), (0, 0))).astype(np.float32),
        np.pad(best[kept], (0, padding)).astype(np.float32),
        np.pad(label[kept], (0, padding), constant_values=-1).astype(np.int32),
    )


def frames(count: int, seed: int = 7) -> NDArray[np.uint8]:
    """Letterboxed frames of noise, [count,S,S,3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def _iou(one: Floats, other: Floats) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return shared / (areas - shared)
