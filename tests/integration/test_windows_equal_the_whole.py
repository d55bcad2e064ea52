"""However a video is cut into windows, and wherever a pass goes on: together they give what one pass gives, damaged or not.


Splitting a video rests on that, and going on after a lost worker (ADR 22): every pass begins afresh at the same places.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clips import KINDS, read_code, write_clip
from tests.support.decoded_clips import UNTIMED, WHOLE, Clips, assert_same, codes, opened
from tests.support.real_inputs import yolox_case
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import DecodedFrame, VideoError
from vidette_frame_worker.video.av_reader import AvReader
from vidette_frame_worker.video.indexing import IndexedVideo

SPLIT = [kind for kind in WHOLE if not kind.startswith("avi") and kind not in UNTIMED]
"""Kinds that are split: those whose frames have times of their own."""
STRETCH = 16
"""Samples from one fresh beginning to the next."""
CODECS = [
    "mp4_bframes",
    "mp4_open_gop",
    "mp4_hevc_open_gop",
    "mp4_hevc_10bit",
    "mp4_vp9",
    "mp4_av1",
    "mp4_mpeg4",
    "mov_mjpeg",
]
FRAMES = 96
FLIPS, CUTS = 50, 20


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


def whole(path: Path, stride: int = 1) -> list[DecodedFrame]:
    """Of one pass."""
    return list(opened(path).frames(Sampling(stride), stretch=STRETCH))


def windows(path: Path, bounds: list[int], stride: int = 1) -> list[DecodedFrame]:
    """What workers find that each go on at one of `bounds`, each with a video of its own."""
    sampling = Sampling(stride)
    parts = (opened(path).frames(sampling, first, end, stretch=STRETCH) for first, end in pairwise(bounds))
    return [frame for part in parts for frame in part]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_windows_of_a_sound_video_are_the_whole(clips: Clips, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(SPLIT))
    stride = data.draw(st.integers(1, 9))
    wanted = clips.sequential(kind)[::stride]
    cuts = data.draw(st.sets(st.integers(1, max(1, len(wanted) - 1)), max_size=6))
    assert_same(windows(clips.path(kind), [0, *sorted(cuts - {len(wanted)}), len(wanted)], stride), wanted)


@pytest.mark.parametrize("kind", SPLIT)
def test_windows_of_every_kind_of_sound_video_are_the_whole(clips: Clips, kind: str) -> None:
    wanted = clips.sequential(kind)
    for workers in (2, 3, 7):
        assert_same(windows(clips.path(kind), [len(wanted) * at // workers for at in range(workers + 1)]), wanted)


def test_windows_of_somebodys_real_video_are_the_whole(tmp_path: Path) -> None:
    path = yolox_case(tmp_path).video
    stride = 10
    wanted = whole(path, stride)
    bounds = [0, *sorted(random.Random(1).sample(range(1, len(wanted)), 2)), len(wanted)]
    assert_same(windows(path, bounds, stride), wanted)


@dataclass(frozen=True, slots=True)
class Flipped:
    """A clip in which one bit of a picture was turned around, and the frames that this may have harmed."""

    path: Path
    harmed: range


def flipped(folder: Path, kind: str) -> Iterator[Flipped]:
    """The clip again and again, each time with another bit."""
    sound = folder / f"sound.{KINDS[kind].container}"
    write_clip(sound, kind, FRAMES)
    data, dice, packets = sound.read_bytes(), random.Random(kind), coded_pictures(sound)
    for _ in range(FLIPS):
        spoilt, number = bytearray(data), dice.choices(range(len(packets)), [packet.size for packet in packets])[0]
        spoilt[packets[number].pos + dice.randrange(packets[number].size)] ^= 1 << dice.randrange(8)
        path = sound.with_stem("flipped")
        path.write_bytes(spoilt)
        yield Flipped(path, group_of(packets, number))


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """In the order of decoding; `rank` is its place in the order of showing."""

    pos: int
    size: int
    rank: int
    is_key: bool


def coded_pictures(path: Path) -> list[CodedPicture]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = [packet.dts if packet.pts is None else packet.pts for packet in packets]
    ranks = {time: rank for rank, time in enumerate(sorted(time for time in times if time is not None))}
    found = zip(packets, times, strict=True)
    return [CodedPicture(each.pos or 0, each.size, ranks[time or 0], each.is_keyframe) for each, time in found]


def group_of(packets: list[CodedPicture], number: int) -> range:
    """The frames that may depend on a packet: all decoded from its key frame to the next, and what an open group refers to."""
    begin = max(at for at in range(number + 1) if packets[at].is_key)
    end = next((at for at in range(number + 1, len(packets)) if packets[at].is_key), len(packets))
    first = min(packet.rank for packet in packets[begin:end])
    return range(first, packets[end].rank if end < len(packets) else FRAMES)


@pytest.mark.parametrize("kind", [*CODECS, "mov_prores", "mp4_interlaced", "avi", "avi_mjpeg"])
def test_a_flipped_bit_harms_its_own_group_of_pictures_and_shifts_nothing(tmp_path: Path, kind: str) -> None:
    for clip in flipped(tmp_path, kind):
        frames = whole(clip.path)
        assert [frame.frame_index for frame in frames] == list(range(FRAMES))
        assert all((frame.image is None) == (frame.error is not None) for frame in frames)
        sound = [frame for frame in frames if frame.frame_index not in clip.harmed]
        assert codes(sound) == [frame.frame_index for frame in sound]


@pytest.mark.parametrize("kind", CODECS)
def test_with_a_flipped_bit_a_pass_gives_the_same_wherever_it_goes_on(tmp_path: Path, kind: str) -> None:
    dice = random.Random(kind)
    for clip in flipped(tmp_path, kind):
        path = clip.path
        wanted = whole(path)
        assert_same(windows(path, [*range(0, FRAMES, STRETCH * dice.choice((1, 2, 3))), FRAMES]), wanted)
        for first in dice.sample(range(FRAMES), 3):
            assert_same(windows(path, [first, FRAMES]), wanted[first:])


@pytest.mark.parametrize("kind", [*CODECS, "mp4_fragmented"])
def test_a_cut_file_gives_its_frames_up_to_the_cut_also_in_windows(tmp_path: Path, kind: str) -> None:
    sound = tmp_path / f"sound.{KINDS[kind].container}"
    write_clip(sound, kind, FRAMES, moov_first=True)
    data, seen = sound.read_bytes(), set()
    for place in range(1, CUTS + 1):
        path = sound.with_stem("cut")
        path.write_bytes(data[: len(data) * place // (CUTS + 1)])
        try:
            video = opened(path)
        except VideoError:
            continue  # not one picture is left, or not the whole index
        frames = whole(path)
        numbers = [read_code(frame.image) for frame in frames if frame.image is not None]
        assert numbers == list(range(len(frames))), "each frame that is there is the one that its index says"
        assert [warning.code for warning in video.warnings] == ["truncated"]
        assert_same(windows(path, [0, *{len(frames) // 2} - {0}, len(frames)]), frames)
        seen.add(len(frames))
    assert len(seen) > CUTS // 2, "the cuts went through the pictures"


def test_a_video_with_one_key_frame_is_decoded_once_and_not_anew_for_every_stretch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, "mp4_one_key_frame", FRAMES)
    opened_anew: list[IndexedVideo] = []
    really = IndexedVideo.open

    def counting(video: IndexedVideo) -> AvReader:
        opened_anew.append(video)
        return really(video)

    monkeypatch.setattr(IndexedVideo, "open", counting)
    frames = whole(path)
    assert len(opened_anew) == 1
    assert [frame.frame_index for frame in frames] == list(range(FRAMES))
    for first in (STRETCH, 3 * STRETCH + 5):
        assert_same(windows(path, [first, FRAMES]), frames[first:])
