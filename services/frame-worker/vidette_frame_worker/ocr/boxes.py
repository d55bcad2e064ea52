"""From the detector's probability map to boxes around lines of text, in reading order.

This is the box formation of DB (Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020,
section 3.5): threshold, contours, the smallest rectangle around each, its mean probability, and growth by area * ratio /
perimeter, since the network is trained on shrunken text. Constants are rapidocr's defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pyclipper
from numpy.typing import NDArray

from vidette_core.domain.results import MAX_LINES
from vidette_frame_worker.ocr.canvas import Boxes

# Of UINT8 probabilities, round(255 p): 76 is what `p > 0.3` rounds to, so the cut is the same as on floats (0.3 * 255 = 76.5).
CUT = 76
BOX_SCORE = 0.5
GROWTH = 1.6
SHORTEST_SIDE = 3
SAME_LINE = 10

Map = NDArray[np.uint8]
Quad = NDArray[np.float32]


def find_boxes(probability: Map, width: int, height: int) -> Boxes:
    """Boxes of the lines in a UINT8 [h,w] map of a canvas of `width` x `height` pixels.

    Returns:
        FP32 [n,4,2], whole canvas pixels, each clockwise from its top left, in reading order; n is at most MAX_LINES.
    """
    map_size, size = np.array(probability.shape[::-1], np.float32), np.array([width, height], np.float32)
    found = []
    for grown in _grown_rectangles(probability):
        box = np.minimum(_clockwise(np.clip(np.round(grown / map_size * size), 0, size)), size - 1)
        if np.linalg.norm(box[0] - box[[1, 3]], axis=1).min() >= SHORTEST_SIDE + 1:
            found.append(box)
    return reading_order(np.array(found, np.float32).reshape(-1, 4, 2))


def reading_order(boxes: Boxes) -> Boxes:
    """Top to bottom, and left to right where the top left corners follow each other in steps of less than 10 pixels of height."""
    by_height = boxes[np.argsort(boxes[:, 0, 1], kind="stable")]
    rows = np.cumsum(np.diff(by_height[:, 0, 1], prepend=-np.inf) >= SAME_LINE)
    return by_height[np.lexsort((by_height[:, 0, 0], rows))]


def _grown_rectangles(probability: Map) -> Iterator[Quad]:
    mask = cv2.dilate((probability > CUT).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours[:MAX_LINES]:
        core, shortest = _smallest_rectangle(np.asarray(contour))
        if shortest < SHORTEST_SIDE or _mean_probability(probability, core) < BOX_SCORE:
            continue
        outline = _grow(core)
        if outline is None:
            continue
        grown, shortest = _smallest_rectangle(outline)
        if shortest >= SHORTEST_SIDE + 2:
            yield grown


def _smallest_rectangle(points: NDArray[np.integer[Any]]) -> tuple[Quad, float]:
    """Corners from the left-hand upper one on, with the length of the shorter side."""
    rectangle = cv2.minAreaRect(points)
    corners = np.array(sorted(cv2.boxPoints(rectangle), key=lambda corner: float(corner[0])), np.float32)
    left = corners[:2] if corners[1, 1] > corners[0, 1] else corners[1::-1]
    right = corners[2:] if corners[3, 1] > corners[2, 1] else corners[:1:-1]
    return np.array([left[0], right[0], right[1], left[1]], np.float32), float(min(rectangle[1]))


def _mean_probability(probability: Map, quad: Quad) -> float:
    """Mean over the quadrilateral, 0..1."""
    edge = np.array(probability.shape[::-1]) - 1
    x0, y0 = np.clip(np.floor(quad.min(axis=0)).astype(int), 0, edge)
    x1, y1 = np.clip(np.ceil(quad.max(axis=0)).astype(int), 0, edge)
    inside = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
    outline = quad - np.array([x0, y0], np.float32)
    cv2.fillPoly(inside, [outline.astype(np.int32)], (1,))
    return float(cv2.mean(probability[y0 : y1 + 1, x0 : x1 + 1], inside)[0]) / 255


def _grow(quad: Quad) -> NDArray[np.int32] | None:
    """The outline moved outwards by area * GROWTH / perimeter, with round corners, on whole pixels."""
    corners = quad.astype(np.float64)
    # The shoelace formula with x from the first corner on, as GEOS has it: a last bit lost here can move a corner by a pixel.
    x, y = corners[:, 0] - corners[0, 0], corners[:, 1]
    area = abs(np.sum(x * (np.roll(y, 1) - np.roll(y, -1)))) / 2
    perimeter = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).sum()
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(quad, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    outlines = offset.Execute(area * GROWTH / perimeter)
    return np.array(outlines[0], np.int32) if outlines else None


def _clockwise(quad: Quad) -> Quad:
    """Top left, top right, bottom right, bottom left, taking the two leftmost corners as the left side."""
    by_x = quad[np.argsort(quad[:, 0])]
    left, right = by_x[:2], by_x[2:]
    top_left, bottom_left = left[np.argsort(left[:, 1])]
    top_right, bottom_right = right[np.argsort(right[:, 1])]
    return np.array([top_left, top_right, bottom_right, bottom_left], np.float32)
