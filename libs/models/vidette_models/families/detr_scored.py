"""`detr_scored`: RT-DETR as Ultralytics exports it with a probability for each class, one row a query.

A query counts for its best class, strictly above the threshold, and nothing is suppressed: so does Ultralytics' own
`RTDETRPredictor.postprocess` for this layout, where a transformer is trained to answer each object with one query.

The picture is stretched to the square, not letterboxed: `RTDETRPredictor.pre_transform` says `scaleFill=True`, and training
stretches too (`RTDETRDataset.build_transforms`, `stretch=True`). A letterbox would show the model proportions and a grey border
that it never saw.

Since May 2026 (ultralytics pull request 24403) the export chooses the best pairs of query and class itself and answers
[N,queries,6]: centre, size, score, class. That is another layout, and refused as such.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from vidette_core.domain.pipelines import Letterbox
from vidette_models.errors import UnsupportedModel
from vidette_models.families.family import (
    END,
    Colours,
    Family,
    Head,
    Pixels,
    check_labels_match,
    check_probabilities,
    corners,
    wrong_layout,
)
from vidette_models.graph import GraphBuilder
from vidette_models.postprocess import Detections

NAME = "detr_scored"
_REMEDY = (
    "Export RT-DETR with a release of Ultralytics from before May 2026: a probability for each class of each query."
)
_NORMALISED = 2.0
"""Normalised boxes stay within 0..1, pixels do not; between them is room for a box that an untrained query puts outside."""


def _check(head: Head) -> int:
    if len(head.shape) != 2 or head.shape[1] < 5:
        raise wrong_layout(NAME, head, f"[N, queries, 4 + {head.labels} classes]", _REMEDY)
    if _is_chosen_already(head):
        found = f"{head.text} with whole numbers last, a score and a class for each row"
        expected = f"[N, queries, 4 + {head.labels} classes]"
        raise UnsupportedModel(f"output of a {NAME} detector", found=found, expected=expected, remedy=_REMEDY)
    check_labels_match(head, head.shape[1] - 4)
    check_probabilities(NAME, head.answer[..., 4:], _REMEDY)
    reach = float(np.abs(head.answer[..., :4]).max())
    if not reach <= _NORMALISED:
        found = f"numbers up to {reach:.3g}"
        raise UnsupportedModel(f"boxes of a {NAME} detector", found=found, expected="0 to 1", remedy=_REMEDY)
    return head.shape[0]


def _is_chosen_already(head: Head) -> bool:
    """Whether six columns end in classes by number: a network's probabilities are never all 0 or 1 for noise."""
    last = head.answer[..., -1]
    return head.shape[1] == 6 and bool((last == np.round(last)).all())


def _decode(builder: GraphBuilder, output: str, head: Head) -> Detections:
    """[N,Q,4+C]: centre x, centre y, width, height as shares of the picture, then the classes' probabilities."""
    shares = corners(builder, builder.slice(output, 0, 2, axis=2), builder.slice(output, 2, 4, axis=2), axis=2)
    scores = builder.slice(output, 4, END, axis=2)
    best = builder.node("ArgMax", scores, axis=2, keepdims=0)
    return Detections(
        boxes=builder.node("Mul", shares, builder.scalar(head.side)),
        scores=builder.reduce_max(scores, 2),
        classes=builder.node("Cast", best, to=TensorProto.INT32),
    )


DETR_SCORED = Family(
    name=NAME,
    description="Ultralytics RT-DETR as exported before May 2026, pictures stretched: [N, queries, 4 + classes]",
    export="yolo export model=rtdetr-l.pt format=onnx dynamic=True  # with ultralytics before May 2026",
    letterbox=Letterbox.STRETCH,
    pixels=Pixels(Colours.RGB, 1.0),
    check=_check,
    decode=_decode,
)
