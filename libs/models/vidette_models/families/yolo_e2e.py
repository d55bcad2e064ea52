"""`yolo_e2e`: detectors whose export already ends in final boxes, by a head without NMS or with NMS in the exported graph.

Nothing is suppressed a second time: an end-to-end head (YOLOv10, YOLO26) is trained to answer each object once, and two of its
boxes that overlap are two objects. `iou_threshold` has no effect.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from vidette_core.domain.pipelines import Letterbox
from vidette_models.errors import UnsupportedModel
from vidette_models.families.family import Colours, Family, Head, Pixels, check_probabilities, wrong_layout
from vidette_models.graph import GraphBuilder
from vidette_models.postprocess import Detections

NAME = "yolo_e2e"
_REMEDY = "Export YOLOv10 or YOLO26 as they are, or others with nms=True."
_NORMALISED = 2.0
"""A coordinate in pixels is beyond this somewhere in 300 boxes; one that was divided by the picture's side never is."""


def _check(head: Head) -> int:
    if len(head.shape) != 2 or head.shape[1] != 6:
        raise wrong_layout(NAME, head, "[N, detections, 6]", _REMEDY)
    real = head.answer[head.answer[..., 4] > 0]
    check_probabilities(NAME, real[:, 4], _REMEDY)
    _check_classes(real[:, 5], head.labels)
    if real.size and float(np.abs(real[:, :4]).max()) <= _NORMALISED:
        found = f"boxes within {float(np.abs(real[:, :4]).max()):.3g}"
        raise UnsupportedModel("boxes of a yolo_e2e detector", found=found, expected="pixels", remedy=_REMEDY)
    return head.shape[0]


def _check_classes(classes: np.ndarray[tuple[int, ...], np.dtype[np.float32]], labels: int) -> None:
    if not classes.size:
        return
    if not (classes == np.round(classes)).all():
        found = f"{float(classes[classes != np.round(classes)][0]):.3g} in the column of classes"
        raise UnsupportedModel(f"classes of a {NAME} detector", found=found, expected="whole numbers", remedy=_REMEDY)
    if classes.min() < 0 or classes.max() >= labels:
        found = f"{labels} names, and class {int(classes.max() if classes.max() >= labels else classes.min())}"
        raise UnsupportedModel("labels", found=found, expected="a name for each class")


def _decode(builder: GraphBuilder, output: str, head: Head) -> Detections:  # noqa: ARG001 - a Family's signature
    """[N,K,6]: x1, y1, x2, y2 in letterbox pixels, score, class. Rows after the last box hold a score of 0, or below."""
    column = builder.node("Gather", output, builder.constant(np.array(5, np.int64)), axis=2)
    return Detections(
        boxes=builder.slice(output, 0, 4, axis=2),
        scores=builder.node("Gather", output, builder.constant(np.array(4, np.int64)), axis=2),
        classes=builder.node("Cast", column, to=TensorProto.INT32),
    )


YOLO_E2E = Family(
    name=NAME,
    description="Ultralytics YOLOv10 and YOLO26, or any YOLO exported with nms=True: [N, detections, 6]",
    export="yolo export model=yolo26n.pt format=onnx dynamic=True",
    letterbox=Letterbox.CENTRE,
    pixels=Pixels(Colours.RGB, 1.0),
    check=_check,
    decode=_decode,
)
