"""Detector families: how the head of an exported detector is to be read. A family is declared, never guessed from shapes.

To add one, write its `check` and `decode` and put it into `FAMILIES`; batching, suppression, the contract with the worker and
the repository do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from vidette_core.domain.pipelines import Letterbox
from vidette_models.errors import UnsupportedModel
from vidette_models.graph import GraphBuilder
from vidette_models.postprocess import Candidates


@dataclass(frozen=True, slots=True)
class Family:
    """One way of exporting a detector.

    `prepare(builder, frames, output)` turns `frames` UINT8 [N,S,S,3] RGB into the exported model's input.
    `check(shape, labels)` holds the head's shape (without batch) against the number of labels and returns how many candidates it
    has, or raises UnsupportedModel. `decode(builder, head)` turns the head into candidates.
    """

    name: str
    description: str
    letterbox: Letterbox
    prepare: Callable[[GraphBuilder, str, str], None]
    check: Callable[[tuple[int, ...], int], int]
    decode: Callable[[GraphBuilder, str], Candidates]


def _unit_rgb(builder: GraphBuilder, frames: str, output: str) -> None:
    """FLOAT [N,3,S,S], 0..1. Bytes are transposed before they become floats, for a quarter of the traffic."""
    planes = builder.node("Transpose", frames, perm=[0, 3, 1, 2])
    floats = builder.node("Cast", planes, to=TensorProto.FLOAT)
    builder.node("Div", floats, builder.scalar(255), output=output)


def _check_yolo_raw(shape: tuple[int, ...], labels: int) -> int:
    found = f"[{', '.join(('N', *map(str, shape)))}]"
    if len(shape) != 2 or shape[0] < 5:
        raise UnsupportedModel(
            "output of a yolo_raw detector",
            found=found,
            expected=f"[N, 4 + {labels} classes, candidates]",
            remedy="Export without NMS, in the layout of Ultralytics YOLOv8 and later.",
        )
    if shape[0] - 4 != labels:
        found = f"{labels} names for output {found}, which has {shape[0] - 4} classes"
        raise UnsupportedModel("labels", found=found, expected="a name for each class")
    return shape[1]


def _decode_yolo_raw(builder: GraphBuilder, head: str) -> Candidates:
    """[N,4+C,A]: centre x, centre y, width, height in letterbox pixels, then the classes' probabilities."""
    last = np.iinfo(np.int32).max
    centre = builder.slice(head, 0, 2, axis=1)
    half = builder.node("Mul", builder.slice(head, 2, 4, axis=1), builder.scalar(0.5))
    corners = builder.node("Concat", builder.node("Sub", centre, half), builder.node("Add", centre, half), axis=1)
    boxes = builder.node("Transpose", corners, perm=[0, 2, 1])
    return Candidates(boxes=boxes, scores=builder.slice(head, 4, int(last), axis=1))


YOLO_RAW = Family(
    name="yolo_raw",
    description="Ultralytics YOLOv8 and later, exported without NMS",
    letterbox=Letterbox.CENTRE,
    prepare=_unit_rgb,
    check=_check_yolo_raw,
    decode=_decode_yolo_raw,
)

FAMILIES = {family.name: family for family in (YOLO_RAW,)}


def family_named(name: str) -> Family:
    """The family with that name.

    Raises:
        UnsupportedModel: there is none.
    """
    if name not in FAMILIES:
        raise UnsupportedModel("detector family", found=repr(name), expected=f"one of {', '.join(FAMILIES)}")
    return FAMILIES[name]
