"""Clips with text that stands still, or runs, as real ones have it: drawn at 1280x720 and encoded by libx264 at its defaults.

What decides how much text can be reused is not the drawing but the codec: it never gives a still picture back still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidette_models.demo.scenes import SceneClip
from vidette_models.demo.video import write_h264

Image = NDArray[np.uint8]
WIDTH, HEIGHT = 1280, 720
_LINES = ("Vidette reads what stands here", "and then does not read it again", "Hours: 9-17, closed on Sundays")
_NEWS = "  +++  ".join(
    (
        "storm reaches the coast",
        "camera 07 north entrance",
        "price of a ticket is 19.99 EUR",
        "platform 3 is closed today",
    )
)
_STEP = 8
"""Pixels by which the ticker runs from frame to frame: two hundred a second."""


def still(frames: int) -> Iterator[Image]:
    """Five lines of text, three of them outlined on the picture itself and two on plates, over a picture that stands still."""
    picture = SceneClip(5, frames=1, width=WIDTH, height=HEIGHT, objects=4)[0].image
    for number, line in enumerate(_LINES):
        place = (120, 260 + 80 * number)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_DUPLEX, 1.4, (0, 0, 0), 9, cv2.LINE_AA)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_DUPLEX, 1.4, (250, 250, 250), 3, cv2.LINE_AA)
    for _ in range(frames):
        yield picture


def moving(frames: int) -> Iterator[Image]:
    """Two lines on plates, above and below objects that move."""
    for frame in SceneClip(6, frames=frames, width=WIDTH, height=HEIGHT, objects=5):
        yield frame.image


def ticker(frames: int) -> Iterator[Image]:
    """A line that runs through the picture, between two that stand still."""
    scene = SceneClip(7, frames=1, width=WIDTH, height=HEIGHT, objects=4)[0].image
    for number in range(frames):
        picture = scene.copy()
        cv2.rectangle(picture, (0, 330), (WIDTH, 390), (20, 30, 60), -1)
        place = (WIDTH // 2 - _STEP * number, 374)
        cv2.putText(picture, _NEWS * 2, place, cv2.FONT_HERSHEY_DUPLEX, 1.3, (250, 250, 250), 2, cv2.LINE_AA)
        yield picture


KINDS: dict[str, Callable[[int], Iterator[Image]]] = {"still": still, "moving": moving, "ticker": ticker}


def write_caption_clip(path: Path, kind: str, frames: int) -> Path:
    """An MP4 of one of KINDS, 25 frames a second."""
    write_h264(path, KINDS[kind](frames))
    return path
