"""The picture in which text is looked for: the frame within size limits, and the way back to the frame's pixels.

Sizes follow rapidocr's defaults (`max_side_len` 2000, `min_side_len` 30, `width_height_ratio` 8, `limit_side_len` 736 of the
shorter side, multiples of 32), because the text found depends on the scale at which it is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float32]

LONGEST_SIDE = 2000
SHORTEST_SIDE = 30
WIDEST = 8
DETECTION_SIDE = 736
GRID = 32
# The shorter side is brought up to 736, so a tall sliver would grow without end (30 x 2000 becomes 36 million pixels). Wide ones
# are padded to at most 8:1 before; the same proportion bounds the tall ones, which rapidocr leaves unbounded.
LONGEST_DETECTION_SIDE = DETECTION_SIDE * WIDEST


@dataclass(frozen=True, slots=True)
class Canvas:
    """`pixels` is RGB UINT8 [h,w,3]; a canvas point (x, y) lies at (x * scale_x, (y - top) * scale_y) of the frame."""

    pixels: Picture
    top: int
    scale_x: float
    scale_y: float
    frame_width: int
    frame_height: int

    def to_frame(self, boxes: Boxes) -> Boxes:
        """[n,4,2] in pixels of the frame, inside it."""
        moved = (boxes - np.array([0, self.top], np.float32)) * np.array([self.scale_x, self.scale_y], np.float32)
        return np.clip(moved, 0, np.array([self.frame_width, self.frame_height], np.float32)).astype(np.float32)


def prepare(image: Picture) -> Canvas:
    """Bring an RGB UINT8 [H,W,3] frame within the limits, with black above and below when it is low or very wide."""
    height, width = image.shape[:2]
    pixels = image
    if max(height, width) > LONGEST_SIDE:
        pixels = _scaled(pixels, LONGEST_SIDE / max(height, width))
    if min(pixels.shape[:2]) < SHORTEST_SIDE:
        pixels = _scaled(pixels, SHORTEST_SIDE / min(pixels.shape[:2]), LONGEST_SIDE)
    scaled_height, scaled_width = pixels.shape[:2]
    top = _padding(scaled_height, scaled_width)
    if top:
        pixels = np.pad(pixels, ((top, top), (0, 0), (0, 0)))
    return Canvas(pixels, top, width / scaled_width, height / scaled_height, width, height)


def detection_input(canvas: Canvas) -> Picture:
    """UINT8 [1,H,W,3] with both sides multiples of 32, the shorter one near 736 or above."""
    height, width = canvas.pixels.shape[:2]
    ratio = max(1.0, DETECTION_SIDE / min(height, width))
    return _scaled(canvas.pixels, ratio, LONGEST_DETECTION_SIDE)[None]


def _scaled(image: Picture, ratio: float, longest: int | None = None) -> Picture:
    height, width = (_on_grid(int(side * ratio), longest) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


def _on_grid(side: int, longest: int | None) -> int:
    """The multiple of 32 nearest to `side`, at least one: rapidocr fails on slivers where this would be none."""
    nearest = max(GRID, round(side / GRID) * GRID)
    return nearest if longest is None else min(nearest, longest // GRID * GRID)


def _padding(height: int, width: int) -> int:
    """Rows of black to add on either side."""
    if height > SHORTEST_SIDE and width / height <= WIDEST:
        return 0
    return abs(max(width // WIDEST, SHORTEST_SIDE) * 2 - height) // 2
