"""Clips for the benchmarks, from the demo's own one: its objects and its captions, longer, and larger where asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidette_models.demo.sample import sample_path
from vidette_models.demo.video import read_rgb, write_h264


def write_demo_clip(path: Path, frames: int, size: tuple[int, int] | None = None) -> None:
    """The demo's clip again and again until there are `frames`, scaled to `size` (width, height), H.264 with B-frames."""
    write_h264(path, demo_pictures(frames, size), options={"preset": "veryfast", "bf": "2", "g": "50"})


def demo_pictures(frames: int, size: tuple[int, int] | None = None) -> Iterator[NDArray[np.uint8]]:
    """RGB UINT8 [H,W,3], the demo's clip again and again."""
    return islice(_endless(size), frames)


def _endless(size: tuple[int, int] | None) -> Iterator[NDArray[np.uint8]]:
    images = list(read_rgb(sample_path()))
    while True:
        for image in images:
            # Scaled anew each time: a hundred pictures of 1080p kept would be 600 MB.
            yield image if size is None else np.asarray(cv2.resize(image, size), np.uint8)
