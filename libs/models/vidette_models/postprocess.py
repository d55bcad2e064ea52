"""From every candidate that a detector's head puts out to the K best boxes, inside the graph.

On a CPU this makes 2.4 KB of an answer that would be 2.8 MB; on a GPU it leaves nothing to copy and nothing
to compute for the worker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from vidette_models.graph import GraphBuilder

SCORE_THRESHOLD = 0.25
"""Ultralytics' default `conf` for prediction."""
IOU_THRESHOLD = 0.45
"""The customary value of YOLO's exported NMS; Ultralytics' `predict` uses 0.7, its ONNX examples 0.45."""
MAX_DETECTIONS = 100
"""Boxes per picture: COCO's evaluation counts no more."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a family's decoding hands on, as names of graph values.

    `boxes` FLOAT [N,A,4], x1 y1 x2 y2 in letterbox pixels. `scores` FLOAT [N,C,A], a probability for each class.
    """

    boxes: str
    scores: str


@dataclass(frozen=True, slots=True)
class Detections:
    """What a family's decoding hands on when the model itself has left one box for each object, as names of graph values.

    `boxes` FLOAT [N,A,4], x1 y1 x2 y2 in letterbox pixels. `scores` FLOAT [N,A], in any order; 0 or below is padding. `classes`
    INT32 [N,A].
    """

    boxes: str
    scores: str
    classes: str


def suppress(
    builder: GraphBuilder, candidates: Candidates, *, classes: int, keep: int, score: float, iou: float
) -> tuple[str, str, str]:
    """Best class of each candidate, non-maximum suppression within each class, the `keep` best of all.

    Strictly above `score`; a box goes when its IoU with a better one of its class is strictly above `iou`, as in torchvision.

    Returns:
        The graph's outputs: `boxes` FLOAT [N,keep,4], `scores` FLOAT [N,keep] descending and padded with 0, `classes` INT32
        [N,keep] padded with -1.
    """
    zero, limit = builder.scalar(0), builder.integers(keep)
    best = builder.reduce_max(candidates.scores, 1)
    label = builder.node("ArgMax", candidates.scores, axis=1, keepdims=0)
    every_class = builder.constant(np.arange(classes, dtype=np.int64).reshape(1, classes, 1))
    chosen = builder.node("Equal", builder.unsqueeze(label, 1), every_class)
    scores = builder.node("Where", chosen, candidates.scores, zero)
    # Rows of (picture, class, candidate); a candidate is at most in one class, so (picture, candidate) is unique.
    kept = builder.node(
        "NonMaxSuppression", candidates.boxes, scores, limit, builder.floats(iou), builder.floats(score)
    )
    where = builder.node("Gather", kept, builder.integers(0, 2), axis=1)
    none = builder.node("ConstantOfShape", builder.node("Shape", best))
    survivors = builder.node("ScatterND", none, where, builder.node("GatherND", best, where))
    numbers = builder.node("Cast", label, to=TensorProto.INT32)
    return _best(builder, Detections(candidates.boxes, survivors, numbers), keep)


def select(builder: GraphBuilder, detections: Detections, *, keep: int, score: float) -> tuple[str, str, str]:
    """The `keep` best detections strictly above `score`, with none suppressed. Returns what `suppress` does."""
    above = builder.node("Greater", detections.scores, builder.scalar(score))
    scores = builder.node("Where", above, detections.scores, builder.scalar(0))
    return _best(builder, Detections(detections.boxes, scores, detections.classes), keep)


def _best(builder: GraphBuilder, detections: Detections, keep: int) -> tuple[str, str, str]:
    """The `keep` best, as the graph's outputs; of equal scores the first. A score of 0 is padding."""
    zero, minus_one = builder.scalar(0), builder.constant(np.array(-1, np.int32))
    limit = builder.integers(keep)
    scores, top = builder.nodes("TopK", detections.scores, limit, outputs=("scores", None), axis=1, largest=1, sorted=1)
    real = builder.node("Greater", scores, zero)
    top_classes = builder.node("GatherElements", detections.classes, top, axis=1)
    classes = builder.node("Where", real, top_classes, minus_one, output="classes")
    four = builder.node("Expand", builder.unsqueeze(top, 2), builder.integers(1, 1, 4))
    top_boxes = builder.node("GatherElements", detections.boxes, four, axis=1)
    boxes = builder.node("Where", builder.unsqueeze(real, 2), top_boxes, zero, output="boxes")
    return boxes, scores, classes
