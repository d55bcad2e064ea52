"""Drawn frames to H.264 and back; the one module of the demo that needs PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_h264(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: int = 25,
    crf: int = 24,
    options: Mapping[str, str] | None = None,
) -> int:
    """Encodes RGB uint8 [H, W, 3] frames of one even size, 4:2:0, and returns how many there were.

    The container follows from the suffix; `options` are libx264's own, e.g. {"g": "50", "bf": "2"}. One encoder thread,
    so that the same frames give the same file. Raises ValueError where there is no frame.
    """
    count = 0
    settings = {"crf": str(crf), "preset": "medium", "threads": "1", "movflags": "+faststart", **(options or {})}
    with av.open(str(path), "w", options={"movflags": settings.pop("movflags")}) as container:
        stream = container.add_stream("libx264", rate=fps, options=settings)
        stream.pix_fmt = "yuv420p"
        for image in frames:
            if not count:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            count += 1
        if not count:
            raise ValueError(f"no frame to write to {path.name}")
        container.mux(stream.encode())
    return count


def read_rgb(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Every frame of the first video stream in presentation order, as RGB uint8 [H, W, 3]."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
