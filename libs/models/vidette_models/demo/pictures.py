"""Training pictures: the scenes of `scenes`, more varied and worse treated than any clip will be.

Production letterboxes a picture centrally into a square, with grey bars. A 16:9 picture fills only the middle rows of
it, so most batches carry just those rows: 192 of 320, cut at a multiple of the coarsest stride so that every grid point
keeps its place. The rest are whole squares around pictures of other shapes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vidette_models.demo.backdrop import landscape, plain
from vidette_models.demo.captions import write_captions
from vidette_models.demo.painting import Pose, Truth, compose
from vidette_models.demo.scenes import cast
from vidette_models.demo.sprites import LABELS

SIDE: Final = 320
"""Side of the square that the detector sees, in pixels."""
STRIP: Final = (64, 256)
"""Rows of the square that a 16:9 picture needs, widened to multiples of 32."""
GREY: Final = 114
"""Value of the bars, as everywhere in Vidette."""

_SHAPES: Final = ((180, 320), (240, 320), (320, 320), (320, 180))
_REMEMBERED: Final = 600


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures uint8 [B, H, 320, 3]; boxes float32 [B, M, 4] (xyxy); classes int64 [B, M], -1 where there is none."""

    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]


def _scattered(rng: np.random.Generator, height: int, width: int) -> list[Pose]:
    """Objects anywhere, at any size and a little aslant, never far over one another."""
    unit, poses = min(height, width) / 180, list[Pose]()
    for _ in range(int(rng.integers(0, 9))):
        size = float(np.exp(rng.uniform(np.log(13), np.log(125)))) * unit
        x, foot = float(rng.uniform(0.3 * size, width - 0.3 * size)), float(rng.uniform(0.8 * size, 1.02 * height))
        near = (abs(x - p.x) < 0.45 * (size + p.size) and abs(foot - p.foot) < 0.45 * (size + p.size) for p in poses)
        if any(near):
            continue
        kind, lean = int(rng.integers(len(LABELS))), float(rng.normal(0, 5))
        poses.append(Pose(kind, int(rng.integers(1 << 30)), x, foot, size, lean, rng.random() < 0.5))
    return poses


def draw_still(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.uint8], Truth]:
    """One picture and its truth: three in five are moments of a clip, the others are objects strewn about."""
    if rng.random() < 0.6:
        picture = landscape(rng, height, width)
        poses = [actor.at(0) for actor in cast(rng, height, width, 1, int(rng.integers(2, 8)))]
    else:
        picture = (plain if rng.random() < 0.7 else landscape)(rng, height, width)
        poses = _scattered(rng, height, width)
    if rng.random() < 0.8:
        write_captions(picture, rng)
    turned = [replace(pose, phase=float(rng.uniform(0, 2 * np.pi))) for pose in poses]
    return picture, compose(picture, turned)


def degrade(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What cameras and encoders do: exposure, tint, softness, noise, blocks."""
    gain = rng.uniform(0.75, 1.2) * rng.uniform(0.95, 1.05, 3)
    out = np.clip(picture * gain + rng.uniform(-16, 16), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 0.9))), np.uint8)
    if rng.random() < 0.25:
        out = np.clip(out + rng.normal(0, rng.uniform(1, 7), out.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        _, packed = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return out


def _mirror(picture: NDArray[np.uint8], truth: Truth) -> tuple[NDArray[np.uint8], Truth]:
    boxes = truth.boxes.copy()
    boxes[:, [0, 2]] = picture.shape[1] - truth.boxes[:, [2, 0]]
    return picture[:, ::-1], Truth(boxes, truth.classes)


def _framed(picture: NDArray[np.uint8], truth: Truth, rows: int) -> tuple[NDArray[np.uint8], Truth]:
    height, width = picture.shape[:2]
    top, left = (rows - height) // 2, (SIDE - width) // 2
    square = np.full((rows, SIDE, 3), GREY, np.uint8)
    square[top : top + height, left : left + width] = picture
    return square, Truth(truth.boxes + np.asarray((left, top, left, top), np.float32), truth.classes)


@dataclass(slots=True)
class Batches:
    """Batch after batch; the same for the same seed as long as they are asked for in order.

    Drawing costs more than a training step, so half of each batch is drawn afresh and half is remembered pictures,
    mirrored and degraded anew.
    """

    seed: int
    size: int
    steps: int
    remembered: dict[bool, deque[tuple[NDArray[np.uint8], Truth]]] = field(init=False)

    def __post_init__(self) -> None:
        self.remembered = {strip: deque(maxlen=_REMEMBERED) for strip in (False, True)}

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        cv2.setNumThreads(0)
        rng = np.random.default_rng((self.seed, step))
        strip = bool(rng.random() < 0.75)
        store = self.remembered[strip]
        fresh = [self._draw(rng, strip) for _ in range(max(self.size // 2, self.size - len(store)))]
        old = [store[int(k)] for k in rng.integers(0, len(store), self.size - len(fresh))] if store else []
        store.extend(fresh)
        return _stack([self._treat(rng, *item, strip) for item in [*fresh, *old]])

    def _draw(self, rng: np.random.Generator, strip: bool) -> tuple[NDArray[np.uint8], Truth]:
        return draw_still(rng, *(_SHAPES[0] if strip else _SHAPES[int(rng.integers(len(_SHAPES)))]))

    def _treat(
        self, rng: np.random.Generator, picture: NDArray[np.uint8], truth: Truth, strip: bool
    ) -> tuple[NDArray[np.uint8], Truth]:
        if rng.random() < 0.5:
            picture, truth = _mirror(picture, truth)
        return _framed(degrade(rng, picture), truth, STRIP[1] - STRIP[0] if strip else SIDE)


def _stack(items: list[tuple[NDArray[np.uint8], Truth]]) -> Batch:
    most = max(1, *(len(truth.classes) for _, truth in items))
    boxes = np.zeros((len(items), most, 4), np.float32)
    classes = np.full((len(items), most), -1, np.int64)
    for row, (_, truth) in enumerate(items):
        boxes[row, : len(truth.boxes)] = truth.boxes
        classes[row, : len(truth.classes)] = truth.classes
    return Batch(np.stack([picture for picture, _ in items]), boxes, classes)
