"""Cases for the container reader: the golden clips, each as short as can be, spoilt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.chance import Dice
from tests.fuzz.noise import spoilt
from tests.fuzz.structure import changed
from tests.fuzz.tree import read_tree
from tests.support import rubbish
from vidette_core.domain.containers import SNIFF_BYTES, Container, sniff

FRAMES = 6
KINDS = (
    *(
        "mp4_bframes",
        "mp4_vfr",
        "mp4_hevc_open_gop",
        "mp4_edit_list",
        "mp4_rotated",
        "mp4_mirrored_rotated",
        "mp4_fragmented",
    ),
    *("mp4_truncated", "mp4_anamorphic", "mp4_starts_late", "mp4_full_range", "mp4_interlaced", "mp4_sound_first"),
    *("mp4_two_videos", "mp4_hevc_10bit", "mp4_vp9", "mp4_av1", "mp4_mpeg4", "mov_prores", "mov", "mov_mjpeg"),
    *("avi", "avi_mjpeg", "avi_bframes", "avi_h264", "avi_truncated"),
)
"""Written out, so that a case stays what it is when there are more kinds of clips."""


class VideoCase(NamedTuple):
    kind: str
    container: Container
    """As the api tells it from the first bytes; where it would refuse them, that of the clip, as if it had not."""
    data: bytes


_golden: dict[str, bytes] = {}


def golden(kind: str) -> bytes:
    if kind not in _golden:
        _golden[kind] = bytes(rubbish.clip(kind, FRAMES, audio=kind in ("mp4_vfr", "mov", "avi")))
    return _golden[kind]


def write_golden(folder: Path) -> None:
    """So that the processes that read them need not encode them again."""
    for kind in KINDS:
        (folder / kind).write_bytes(golden(kind))


def load_golden(folder: Path) -> None:
    _golden.update((kind, (folder / kind).read_bytes()) for kind in KINDS)


def golden_cases() -> Iterator[VideoCase]:
    """Sound, and cut."""
    for kind in KINDS:
        container = Container.AVI if kind.startswith("avi") else Container.MOV
        yield VideoCase(kind, container, golden(kind))
        yield VideoCase(kind, container, golden(kind)[:-500])


def video_case(seed: int, number: int) -> VideoCase:
    dice = Dice("videos", seed, number)
    kind = dice.of(KINDS)
    data, is_avi = golden(kind), kind.startswith("avi")
    if dice.below(10) < 7:
        tree = read_tree(data, is_avi=is_avi)
        changed(dice, tree)
        data = tree.rendered()
    elif dice.one_in(4):
        other = golden(dice.of(KINDS))
        data = data[: dice.below(len(data))] + other[dice.below(len(other)) :]
    if data and dice.one_in(3):
        data = spoilt(dice, data)
    found = sniff(data[:SNIFF_BYTES])
    return VideoCase(kind, found or (Container.AVI if is_avi else Container.MOV), data)
