"""Frames, times and pixels of every kind of clip are those that PyAV gives when it is left to itself, from the first to the last.

Nothing of ours takes part in that: FFmpeg finds the order, the times and what an edit list leaves out.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.clips import KINDS, Image
from tests.support.decoded_clips import UNTIMED, WHOLE, Clips

TOLD_BY_DECODING = ("avi_bframes", "avi_h264")
"""AVI has times of decoding only, and with B-frames FFmpeg shows pictures at those."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


def plain(path: Path, kind: str) -> tuple[list[float | None], list[Image]]:
    """Times in milliseconds, and pictures [H, W, 3] as a player shows them."""
    times, images = list[float | None](), list[Image]()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            times.append(None if frame.pts is None else float(frame.pts * (frame.time_base or 0) * 1000))
            upright = np.rot90(frame.to_ndarray(format="rgb24"), KINDS[kind].rotation // 90)
            images.append(np.asarray(upright[:, ::-1] if KINDS[kind].mirrored else upright, np.uint8))
    return times, images


@pytest.mark.parametrize("kind", WHOLE)
def test_every_frame_has_the_pixels_and_the_time_of_a_plain_decode(clips: Clips, kind: str) -> None:
    frames = clips.sequential(kind)
    times, images = plain(clips.path(kind), kind)
    assert [frame.frame_index for frame in frames] == list(range(len(images)))
    for frame, image in zip(frames, images, strict=True):
        assert frame.image is not None
        assert np.array_equal(frame.image, image), f"frame {frame.frame_index}"
    if kind not in (*UNTIMED, *TOLD_BY_DECODING):
        assert [frame.timestamp_ms for frame in frames] == pytest.approx(times, abs=0.001)
