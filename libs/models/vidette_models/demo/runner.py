"""Runs the exported detector by itself: letterbox, ONNX Runtime, decoding and suppression in numpy.

Production does the last two inside the served graph. This second, independent reading of `yolo_raw` is what training
reports its figures with, and what the served graph can be compared to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vidette_models.demo.evaluation import Predictions, overlaps
from vidette_models.demo.pictures import GREY, SIDE

LEAST_SCORE: Final = 0.01
"""Low enough to leave the precision curve its tail; a client would ask for 0.25 or more."""
SUPPRESSION: Final = 0.45
MOST_KEPT: Final = 100
"""As in COCO's evaluation; far more than any scene holds."""


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """A picture in its square (RGB uint8 [SIDE, SIDE, 3]) and the way back: (p - offset) / scale."""

    square: NDArray[np.uint8]
    scale: float
    offset: tuple[int, int]


def letterbox(picture: NDArray[np.uint8]) -> Letterboxed:
    """Fits RGB uint8 [H, W, 3] into the middle of the square."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (SIDE - tall) // 2, (SIDE - wide) // 2
    square = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    square[top : top + tall, left : left + wide] = cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_LINEAR)
    return Letterboxed(square, scale, (left, top))


def suppress(found: Predictions, most: float = SUPPRESSION) -> Predictions:
    """Keeps the surest of boxes of one class that overlap by more than `most`, the surest MOST_KEPT in falling order."""
    left = np.argsort(-found.scores, kind="stable")
    chosen: list[int] = []
    while len(left) and len(chosen) < MOST_KEPT:
        best, left = left[0], left[1:]
        chosen.append(int(best))
        clash = overlaps(found.boxes[best : best + 1], found.boxes[left])[0] > most
        left = left[~(clash & (found.classes[left] == found.classes[best]))]
    return Predictions(found.boxes[chosen], found.scores[chosen], found.classes[chosen])


def decode(output: NDArray[np.float32], boxed: Letterboxed, least: float = LEAST_SCORE) -> Predictions:
    """One picture's raw output float32 [4 + classes, A] -> boxes in that picture's pixels, suppressed."""
    chances = output[4:]
    kinds = chances.argmax(0)
    scores = chances.max(0)
    sure = scores >= least
    middle, half = output[:2, sure].T, output[2:4, sure].T / 2
    offset = np.asarray(boxed.offset * 2, np.float32)
    boxes = (np.concatenate([middle - half, middle + half], 1) - offset) / boxed.scale
    return suppress(Predictions(boxes.astype(np.float32), scores[sure], kinds[sure].astype(np.int64)))


class DemoRunner:
    """The detector in this process, on the processor, with as many threads as asked for."""

    def __init__(self, path: Path, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would burn a core
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def detect(self, picture: NDArray[np.uint8]) -> Predictions:
        """What is in a picture, RGB uint8 [H, W, 3] of any size."""
        boxed = letterbox(picture)
        images = np.ascontiguousarray(boxed.square.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        (output,) = self._session.run(["output0"], {"images": images})
        return decode(np.asarray(output[0], np.float32), boxed)
