"""The small videos of an episode: every sort whose frames are found, numbered and split in another way, sound and damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.clips import KINDS, write_clip
from tests.support.mp4_surgery import spoil_packets


@dataclass(frozen=True, slots=True, order=True)
class Work:
    """What is asked for: a film, every `stride`-th frame of it, at most `max_frames` (0: all)."""

    film: str
    stride: int = 1
    max_frames: int = 0

    @property
    def name(self) -> str:
        return f"{self.film}/{self.stride}/{self.max_frames}"


@dataclass(frozen=True, slots=True)
class Film:
    """`kind` is one of `tests.support.clips`; `damage` is done to the finished file."""

    kind: str
    frames: int
    damage: Callable[[Path], object] | None = None

    def write(self, folder: Path, name: str) -> Path:
        path = folder / f"{name}.{KINDS[self.kind].container}"
        write_clip(path, self.kind, self.frames)
        if self.damage is not None:
            self.damage(path)
        return path

    def works(self, name: str) -> tuple[Work, ...]:
        """All of it, or a part: of a few kinds only, since each is done once without faults."""
        part = Work(name, stride=3) if len(name) % 2 else Work(name, max_frames=100)
        return Work(name), part


def _spoil(path: Path) -> None:
    spoil_packets(path, "mov", [20, 79, 81, 157, 240])


def _flip_bits(path: Path) -> None:
    """Here and there in the pictures; the index lies behind them, and stays whole."""
    data, dice = bytearray(path.read_bytes()), random.Random(5)
    for _ in range(12):
        data[dice.randrange(2000, data.rfind(b"moov") - 100)] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def _lose_index(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FILMS = {
    "plain": Film("mp4_bframes", 300),
    "long": Film("mp4_bframes", 700),
    "short": Film("mp4_bframes", 30),
    "variable": Film("mp4_vfr", 250),
    "open_gop": Film("mp4_open_gop", 250),
    "edited": Film("mp4_edit_list", 400),
    "avi": Film("avi_bframes", 120),
    "mjpeg": Film("mov_mjpeg", 170),
    "truncated": Film("mp4_truncated", 400),
    "truncated_avi": Film("avi_truncated", 150),
    "spoilt": Film("mp4_bframes", 300, _spoil),
    "flipped": Film("mp4_bframes", 250, _flip_bits),
    "without_index": Film("mp4_bframes", 60, _lose_index),
}
