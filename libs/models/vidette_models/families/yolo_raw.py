"""`yolo_raw`: the plain head of Ultralytics' detectors, every candidate with a probability for each class."""

from __future__ import annotations

from vidette_core.domain.pipelines import Letterbox
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
from vidette_models.postprocess import Candidates

NAME = "yolo_raw"
_EXPORT = "yolo export model=yolo11n.pt format=onnx dynamic=True"
_REMEDY = "Export without NMS, in the layout of Ultralytics YOLOv8 and later."


def _check(head: Head) -> int:
    if len(head.shape) != 2 or head.shape[0] < 5:
        raise wrong_layout(NAME, head, f"[N, 4 + {head.labels} classes, candidates]", _REMEDY)
    check_labels_match(head, head.shape[0] - 4)
    check_probabilities(NAME, head.answer[:, 4:], _REMEDY)
    return head.shape[1]


def _decode(builder: GraphBuilder, output: str, head: Head) -> Candidates:  # noqa: ARG001 - a Family's signature
    """[N,4+C,A]: centre x, centre y, width, height in letterbox pixels, then the classes' probabilities."""
    boxes = corners(builder, builder.slice(output, 0, 2, axis=1), builder.slice(output, 2, 4, axis=1), axis=1)
    return Candidates(
        boxes=builder.node("Transpose", boxes, perm=[0, 2, 1]), scores=builder.slice(output, 4, END, axis=1)
    )


YOLO_RAW = Family(
    name=NAME,
    description="Ultralytics YOLOv8, YOLO11 and YOLO12 exported without NMS: [N, 4 + classes, candidates]",
    export=_EXPORT,
    letterbox=Letterbox.CENTRE,
    pixels=Pixels(Colours.RGB, 1.0),
    check=_check,
    decode=_decode,
)
