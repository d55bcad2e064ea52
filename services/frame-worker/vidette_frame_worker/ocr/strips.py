"""Cutting boxes out of the canvas as upright strips, and grouping strips into requests.

Recognition is not indifferent to what pads a strip: with strips padded to multiples of 320, 22 of 279 lines on 44 rendered
frames read otherwise than in rapidocr ("MovieShots Dataset" for "MovieShotsDataset"), with its own rule none do. So its rule is
followed: by width, in groups of six, each padded to the group's widest. Widths then depend on the boxes of this frame and on
nothing that was read before, which is what splitting a video needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidette_frame_worker.ocr.boxes import Quad
from vidette_frame_worker.ocr.canvas import Boxes, Picture

HEIGHT = 48
NARROWEST = 320
GROUP = 6
# The byte that the served graph takes for padding: it turns columns of nothing else into zeros after normalisation.
PADDING = 127
# A line one hundred times as wide as high, far beyond a news ticker, is squeezed. Without a bound a hairline across a frame of
# 2000 pixels would become a strip of 20,000.
WIDEST = 100 * HEIGHT
TURN_FROM = 1.5


@dataclass(frozen=True, slots=True)
class Request:
    """The boxes, by index, whose strips go together, all padded to `width` columns."""

    width: int
    members: tuple[int, ...]


def plan(boxes: Boxes) -> tuple[Request, ...]:
    """Requests for the boxes [n,4,2], narrow ones first: at most GROUP strips each, and at most WIDEST columns in sum.

    Widths follow from rapidocr's groups of six, also where a wide group takes several requests.
    """
    aspects = [_aspect(*_size(box)) for box in boxes]
    requests: list[Request] = []
    # Not a stable sort, and on purpose the same call as rapidocr's: where two of one width stand on either side of a group's end,
    # it decides which of them is padded further.
    order = np.argsort(np.array(aspects)).tolist()
    for group in _in_parts(order, GROUP):
        width = min(max(NARROWEST, int(HEIGHT * aspects[group[-1]])), WIDEST)
        requests += [Request(width, tuple(part)) for part in _in_parts(group, WIDEST // width)]
    return tuple(requests)


def pack(canvas: Picture, boxes: Boxes, request: Request) -> Picture:
    """UINT8 [n,48,width,3]: the request's strips from the left, the rest filled with PADDING."""
    packed = np.full((len(request.members), HEIGHT, request.width, 3), PADDING, np.uint8)
    for row, index in zip(packed, request.members, strict=True):
        strip = _strip(canvas, boxes[index], request.width)
        row[:, : strip.shape[1]] = strip
    return packed


def blank() -> Picture:
    """UINT8 [1,48,320,3], black: a strip that any recogniser must be able to read, and to find nothing in."""
    return np.zeros((1, HEIGHT, NARROWEST, 3), np.uint8)


def _in_parts(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _strip(canvas: Picture, box: Quad, widest: int) -> Picture:
    """UINT8 [48,w,3], w at most `widest`. What stands taller than wide is turned to the left, like a book's spine."""
    width, height = _size(box)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    upright = cv2.warpPerspective(
        canvas,
        cv2.getPerspectiveTransform(box, corners),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if _is_tall(width, height):
        upright = np.ascontiguousarray(np.rot90(upright))
    strip_width = min(math.ceil(HEIGHT * _aspect(width, height)), widest)
    return np.asarray(cv2.resize(upright, (strip_width, HEIGHT)), np.uint8)


def _size(box: Quad) -> tuple[int, int]:
    """Width and height, the longer of either pair of opposite sides, in whole pixels."""
    width = max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3]))
    height = max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2]))
    return int(width), int(height)


def _aspect(width: int, height: int) -> float:
    """Width by height of the strip, after turning."""
    return height / width if _is_tall(width, height) else width / height


def _is_tall(width: int, height: int) -> bool:
    return height / width >= TURN_FROM
