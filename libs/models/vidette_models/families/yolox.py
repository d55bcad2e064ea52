"""`yolox`: Megvii's YOLOX as its own exporter writes it, with cells and logarithms of sizes instead of boxes.

Its pictures are BGR, 0..255, scaled into the top left corner (YOLOX `yolox/data/data_augment.py`, `preproc`); its boxes are
decoded as in YOLOX `yolox/utils/demo_utils.py`, `demo_postprocess`. Objectness and classes have passed their sigmoids.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
from vidette_models.postprocess import Candidates

NAME = "yolox"
STRIDES = (8, 16, 32)
_REMEDY = "Export with YOLOX's tools/export_onnx.py, without --decode_in_inference."


def _check(head: Head) -> int:
    if head.side % STRIDES[-1]:
        raise UnsupportedModel(
            f"side of a {NAME} detector", found=f"{head.side} pixels", expected=f"a multiple of {STRIDES[-1]}"
        )
    cells = sum((head.side // stride) ** 2 for stride in STRIDES)
    if len(head.shape) != 2 or head.shape[0] != cells or head.shape[1] < 6:
        raise wrong_layout(NAME, head, f"[N, {cells} cells at {head.side} pixels, 5 + {head.labels} classes]", _REMEDY)
    check_labels_match(head, head.shape[1] - 5)
    check_probabilities(NAME, head.answer[..., 4:], _REMEDY)
    # Sizes are logarithms of cells, small and of either sign; as pixels they are all positive and many beyond any logarithm.
    sizes = head.answer[..., 2:4]
    if float(sizes.min()) >= 0 and float(sizes.max()) > np.log(head.side):
        found = f"sizes from {float(sizes.min()):.3g} to {float(sizes.max()):.3g}, as of boxes decoded already"
        raise UnsupportedModel(f"boxes of a {NAME} detector", found=found, expected="logarithms", remedy=_REMEDY)
    return cells


def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each candidate's cell (column, row) FLOAT [1,A,2] and stride FLOAT [1,A,1], strides in ascending order, rows first."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.indices((side // stride, side // stride), np.float32)
        cells.append(np.stack((columns, rows), axis=-1).reshape(-1, 2))
        strides.append(np.full((cells[-1].shape[0], 1), stride, np.float32))
    return np.concatenate(cells)[None], np.concatenate(strides)[None]


def _decode(builder: GraphBuilder, output: str, head: Head) -> Candidates:
    """[N,A,5+C]: offset from the cell in cells, logarithm of the size in cells, objectness, the classes' probabilities."""
    cells, strides = (builder.constant(value) for value in _grid(head.side))
    offset = builder.node("Add", builder.slice(output, 0, 2, axis=2), cells)
    span = builder.node("Exp", builder.slice(output, 2, 4, axis=2))
    boxes = corners(builder, builder.node("Mul", offset, strides), builder.node("Mul", span, strides), axis=2)
    objectness, classes = builder.slice(output, 4, 5, axis=2), builder.slice(output, 5, END, axis=2)
    scores = builder.node("Mul", objectness, classes)
    return Candidates(boxes=boxes, scores=builder.node("Transpose", scores, perm=[0, 2, 1]))


YOLOX = Family(
    name=NAME,
    description="Megvii YOLOX, boxes not decoded in the export: [N, cells, 5 + classes]",
    export="python tools/export_onnx.py --output-name yolox_nano.onnx -n yolox-nano -c yolox_nano.pth",
    letterbox=Letterbox.TOP_LEFT,
    pixels=Pixels(Colours.BGR, 255.0),
    check=_check,
    decode=_decode,
)
