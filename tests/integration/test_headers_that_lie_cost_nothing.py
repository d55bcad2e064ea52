"""A small file that claims much is refused before room is made for it: FFmpeg alone would take gigabytes.

Each file is read in a process of its own, whose greatest memory is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import av
import pytest

from tests.support import rubbish
from tests.support.clips import read_code
from tests.support.limits import LIMITS
from vidette_core.domain.containers import Container
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import LocalFile, Video, VideoError

T = TypeVar("T")
MIB = 2**20
MOST = 300 * MIB
"""The interpreter with its libraries takes 100 to 130 MiB of this."""


class Seen(NamedTuple):
    codes: tuple[int, ...]
    error: str
    message: str
    peak: int


def peak_memory() -> int:
    """Bytes; of this process alone, unlike `getrusage`, which a child inherits."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def read_carefully(path: Path, container: Container) -> Seen:
    try:
        video = Video(LocalFile(path), container, LIMITS)
        codes = tuple(read_code(frame.image) for frame in video.frames(Sampling()) if frame.image is not None)
    except VideoError as error:
        return Seen((), error.problem.code.value, error.problem.message, peak_memory())
    return Seen(codes, "", "", peak_memory())


def open_carelessly(path: Path) -> int:
    with av.open(str(path), format="mov"):
        return peak_memory()


def alone(call: Callable[..., T], *arguments: object) -> T:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call, *arguments).result(timeout=120)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "container", "code", "said"),
    [
        (rubbish.more_samples_than_the_file_has_bytes, Container.MOV, "too_long", "at least 85000000 frames"),
        (rubbish.more_samples_in_a_fragment_than_the_file_has_bytes, Container.MOV, "too_long", "80000000 frames"),
        (rubbish.index_in_disguise, Container.MOV, "too_long", "at least 85000000 frames"),
        (rubbish.index_behind_thousands_of_boxes, Container.MOV, "invalid_video", "behind thousands of other parts"),
        (rubbish.huge_pictures_in_mp4, Container.MOV, "too_large_frame", "34464 x 34464"),
        (rubbish.huge_pictures_in_avi, Container.AVI, "too_large_frame", "100000 x 100000"),
        (rubbish.samples_larger_than_the_file, Container.MOV, "invalid_video", "Not one frame"),
        (rubbish.chunks_behind_the_end, Container.MOV, "invalid_video", "Not one frame"),
    ],
)
def test_what_cannot_be_is_refused_in_little_memory(
    make: Callable[[], bytes], container: Container, code: str, said: str, tmp_path: Path
) -> None:
    seen = alone(read_carefully, written(tmp_path, make()), container)
    assert seen.error == code
    assert said in seen.message
    assert seen.peak < MOST, f"{seen.peak / MIB:.0f} MiB"


@pytest.mark.parametrize("make", [rubbish.more_sound_than_the_file_has_bytes, rubbish.index_larger_than_the_file])
def test_a_lie_that_does_not_touch_the_pictures_costs_none_of_them(make: Callable[[], bytes], tmp_path: Path) -> None:
    seen = alone(read_carefully, written(tmp_path, make()), Container.MOV)
    assert seen.error == ""
    assert seen.codes == tuple(range(rubbish.FRAMES))
    assert seen.peak < MOST, f"{seen.peak / MIB:.0f} MiB"


@pytest.mark.parametrize(
    "content",
    [
        rubbish.more_samples_than_the_file_has_bytes(20_000_000),
        rubbish.more_sound_than_the_file_has_bytes(20_000_000),
    ],
    ids=["pictures", "sound"],
)
def test_the_same_files_cost_a_careless_reader_much(content: bytes, tmp_path: Path) -> None:
    """The control: smaller lies, and twice the memory."""
    assert len(content) < 15_000
    assert alone(open_carelessly, written(tmp_path, content)) > 2 * MOST


def test_a_million_frames_per_second_are_frames_like_any(tmp_path: Path) -> None:
    video = Video(LocalFile(written(tmp_path, rubbish.million_frames_per_second())), Container.MOV, LIMITS)
    frames = list(video.frames(Sampling()))
    assert [read_code(frame.image) for frame in frames if frame.image is not None] == list(range(rubbish.FRAMES))
    assert [frame.timestamp_ms for frame in frames] == [pytest.approx(n / 1000) for n in range(rubbish.FRAMES)]
