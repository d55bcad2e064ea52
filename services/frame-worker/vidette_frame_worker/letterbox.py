"""Fitting a frame into a detector's square, and bringing its boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidette_core.domain.pipelines import Letterbox

GREY = 114
"""What YOLO detectors are trained with around the picture."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a frame of `width` × `height` pixels stands in the square: scaled to `inner`, its corner at (left, top)."""

    width: int
    height: int
    inner: tuple[int, int]
    left: int
    top: int

    def to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """FP32 [n,4] x1, y1, x2, y2 from letterbox pixels to frame pixels, clipped to the frame."""
        scale = np.array([self.width / self.inner[0], self.height / self.inner[1]] * 2, np.float32)
        corner = np.array([self.left, self.top] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        return np.asarray(np.clip((boxes - corner) * scale, 0, limit), np.float32)


def fit(width: int, height: int, size: int, mode: Letterbox) -> Fit:
    """How the frame is scaled into `size` × `size`: in its own shape and as large as fits, or stretched to all of it.

    Fractions of a pixel go the way of whoever trained the model: Ultralytics rounds (`LetterBox`), YOLOX cuts off (`preproc`).
    """
    longest = max(width, height)
    match mode:
        case Letterbox.STRETCH:
            return Fit(width, height, (size, size), 0, 0)
        case Letterbox.TOP_LEFT:
            return Fit(width, height, (max(1, width * size // longest), max(1, height * size // longest)), 0, 0)
        case Letterbox.CENTRE:
            inner = (max(1, round(width * size / longest)), max(1, round(height * size / longest)))
            return Fit(width, height, inner, (size - inner[0]) // 2, (size - inner[1]) // 2)


def letterbox(image: NDArray[np.uint8], size: int, mode: Letterbox) -> tuple[NDArray[np.uint8], Fit]:
    """UINT8 [H,W,3] → UINT8 [size,size,3] and how it was fitted."""
    fitted = fit(image.shape[1], image.shape[0], size, mode)
    square = np.full((size, size, 3), GREY, np.uint8)
    width, height = fitted.inner
    inside = square[fitted.top : fitted.top + height, fitted.left : fitted.left + width]
    cv2.resize(image, fitted.inner, dst=inside, interpolation=cv2.INTER_LINEAR)
    return square, fitted
