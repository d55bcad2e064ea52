"""Puts objects into a picture and reads off, pixel by pixel, what is visible of each.

Truth is measured on the drawing itself: a box is the outline of the pixels that an object still owns after everything
in front of it was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vidette_models.demo.sprites import draw_sprite

LEAST_VISIBLE: Final = 0.6
"""Share of an object that must be visible for it to be part of the truth."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Boxes float32 [n, 4] (xyxy in pixels, right and lower edge exclusive) and classes int64 [n]."""

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pose:
    """How one object stands in one picture: foot (middle of its lower edge), longest side, lean in degrees."""

    kind: int
    style: int
    x: float
    foot: float
    size: float
    lean: float = 0.0
    mirrored: bool = False
    phase: float = 0.0
    shadow: float | None = None


def _shadow(picture: NDArray[np.uint8], x: float, y: float, wide: float) -> None:
    """A soft dark patch on the ground, wherever part of it lies in the picture."""
    height, width = picture.shape[:2]
    rx, ry = wide * 0.52, max(1.5, wide * 0.06)
    left, right = max(0, math.floor(x - rx)), min(width, math.ceil(x + rx) + 1)
    top, low = max(0, math.floor(y - ry)), min(height, math.ceil(y + ry) + 1)
    if left >= right or top >= low:
        return
    across = (np.arange(left, right, dtype=np.float32) - x) / rx
    down = (np.arange(top, low, dtype=np.float32) - y) / ry
    depth = np.clip(1 - across[None, :] ** 2 - down[:, None] ** 2, 0, 1)[..., None] * 0.45
    patch = picture[top:low, left:right]
    patch[:] = (patch * (1 - depth)).astype(np.uint8)


def _stamp(pose: Pose) -> tuple[NDArray[np.uint8], int, int]:
    """The pose's sprite at its size and angle on a transparent square, and where that square's corner (x, y) lies."""
    sprite = draw_sprite(pose.kind, pose.style, pose.phase)
    if pose.mirrored:
        sprite = np.ascontiguousarray(sprite[:, ::-1])
    ratio = pose.size / max(sprite.shape[:2])
    if ratio < 0.5:  # a linear warp reads four pixels: shrink first, or thin parts flicker
        half = 2 ** math.floor(math.log2(1 / ratio))
        small = (max(1, sprite.shape[1] // half), max(1, sprite.shape[0] // half))
        sprite = np.asarray(cv2.resize(sprite, small, interpolation=cv2.INTER_AREA), np.uint8)
        ratio = pose.size / max(sprite.shape[:2])
    tall, wide = sprite.shape[:2]
    side = math.ceil(math.hypot(tall, wide) * ratio) + 4
    left, top = math.floor(pose.x - side / 2), math.floor(pose.foot - tall * ratio / 2 - side / 2)
    turn = cv2.getRotationMatrix2D((wide / 2 - 0.5, tall / 2 - 0.5), pose.lean, ratio)
    turn[:, 2] += (pose.x - left - wide / 2, pose.foot - tall * ratio / 2 - top - tall / 2)
    return np.asarray(cv2.warpAffine(sprite, turn, (side, side), flags=cv2.INTER_LINEAR), np.uint8), left, top


def _paint(picture: NDArray[np.uint8], owner: NDArray[np.int16], mark: int, pose: Pose) -> int:
    """Draws one pose; `owner` remembers whose each pixel is. Returns how many pixels the object has in all."""
    if pose.shadow is not None:
        sprite = draw_sprite(pose.kind, pose.style, pose.phase)
        _shadow(picture, pose.x, pose.shadow, pose.size * sprite.shape[1] / max(sprite.shape[:2]))
    patch, left, top = _stamp(pose)
    whole = int((patch[..., 3] > 127).sum())
    height, width = picture.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + patch.shape[1], width), min(top + patch.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return whole
    patch = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    cover = patch[..., 3:].astype(np.float32) / 255
    region = picture[y0:y1, x0:x1]
    region[:] = np.clip(region * (1 - cover) + patch[..., :3], 0, 255).astype(np.uint8)
    owner[y0:y1, x0:x1][patch[..., 3] > 127] = mark
    return whole


def compose(picture: NDArray[np.uint8], poses: Sequence[Pose]) -> Truth:
    """Draws poses over `picture` in their order and reads off what is visible; under 60% of an object is no truth."""
    owner = np.full(picture.shape[:2], -1, np.int16)
    whole = [_paint(picture, owner, mark, pose) for mark, pose in enumerate(poses)]
    boxes, classes = [], []
    for mark, pose in enumerate(poses):
        rows, columns = np.nonzero(owner == mark)
        if len(rows) >= max(16, LEAST_VISIBLE * whole[mark]):
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            classes.append(pose.kind)
    return Truth(np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(classes, np.int64))
