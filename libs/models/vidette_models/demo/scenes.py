"""Scenes whose truth is known to the pixel: every box is read off what was drawn, nothing is estimated.

A clip is a function of its seed. Paths are chosen before anything is drawn, and a path that would hide more than a
tenth of an object is not taken: whatever is in the picture is plainly visible and is in the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidette_models.demo.backdrop import HORIZON, landscape
from vidette_models.demo.captions import BAND, Caption, write_captions
from vidette_models.demo.painting import Pose, Truth, compose
from vidette_models.demo.sprites import LABELS, draw_sprite

__all__ = ["LABELS", "Actor", "Caption", "SceneClip", "SceneFrame", "Truth", "cast"]

SMALLEST, LARGEST = 32.0, 220.0
"""Longest side of an object in pixels at 640x360; other picture sizes scale with it."""

_NEAR: Final = {
    "car": 176, "bus": 214, "person": 118, "bicycle": 112, "sign": 124, "ball": 66, "cone": 74, "drone": 108,
}  # fmt: skip
"""Longest side of each kind where it stands nearest, in pixels at 640x360."""
_SPEED: Final = {"car": 3.2, "bus": 2.2, "person": 0.9, "bicycle": 1.9, "ball": 1.5, "drone": 1.6}
"""Pixels a frame at 640x360, nearest; what is not named here stands still."""
_MOST_HIDDEN: Final = 0.1
_TRIES: Final = 24

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """A picture (RGB uint8 [H, W, 3]) and all that is true of it."""

    image: NDArray[np.uint8]
    truth: Truth
    captions: tuple[Caption, ...]


@dataclass(frozen=True, slots=True)
class Actor:
    """An object and its path: `start`, `foot`, `size`, `hop` and `reach` in pixels, `speed` in pixels a frame."""

    kind: int
    style: int
    start: float
    foot: float
    size: float
    speed: float
    hop: float
    reach: tuple[float, float]

    def at(self, frame: int) -> Pose:
        """Its pose in a frame: back and forth between the edges, hopping or hovering where its kind does."""
        low, high = self.reach
        span = max(high - low, 1.0)
        way = (self.start - low + self.speed * frame) % (2 * span)
        turned = (way > span) != (self.speed < 0)
        label = LABELS[self.kind]
        travelled = self.speed * frame
        lift = 0.0
        if label == "ball":
            lift = self.hop * abs(math.sin(0.16 * frame + self.style))
        elif label == "drone":
            lift = self.hop * math.sin(0.09 * frame + self.style)
        phase = {"person": 0.22 * frame + self.style, "drone": 2.4 * frame}.get(label, 2.2 * travelled / self.size)
        mirrored = label not in {"ball", "sign", "cone"} and turned
        x = low + span - abs(way - span)
        ground = None if label == "drone" else self.foot
        return Pose(self.kind, self.style, x, self.foot - lift, self.size, 0.0, mirrored, phase, ground)


def _stretch(kind: int, style: int) -> tuple[float, float]:
    """Width and height of an object at its widest, as shares of its longest side."""
    tall, wide = draw_sprite(kind, style, math.pi / 2).shape[:2]
    return wide / max(tall, wide), tall / max(tall, wide)


def _place(pose: Pose, stretch: tuple[float, float]) -> Box:
    half, tall = stretch[0] * pose.size / 2, stretch[1] * pose.size
    return pose.x - half, pose.foot - tall, pose.x + half, pose.foot


def _hidden(first: Box, second: Box) -> float:
    wide = min(first[2], second[2]) - max(first[0], second[0])
    tall = min(first[3], second[3]) - max(first[1], second[1])
    if wide <= 0 or tall <= 0:
        return 0.0
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return wide * tall / min(areas)


def _audition(rng: np.random.Generator, kind: int, height: int, width: int) -> Actor:
    """A random actor of one kind, somewhere it would be in a street seen from a balcony."""
    label, unit = LABELS[kind], min(height / 360, width / 400)
    top, low = 0.60 * height, (1 - BAND) * height - 6 * unit
    near = float(rng.uniform(0, 1))
    foot = top + (low - top) * near
    size = _NEAR[label] * (0.5 + 0.5 * near) * float(rng.uniform(0.9, 1.1)) * unit
    if label == "drone":
        size = _NEAR[label] * float(rng.uniform(0.5, 1.1)) * unit
        foot = float(rng.uniform(BAND * height + 0.5 * size + 12 * unit, HORIZON * height + 10 * unit))
    size = min(max(size, (SMALLEST + 2) * unit), (LARGEST - 4) * unit)
    hop = {"ball": 46 * (0.5 + 0.5 * near), "drone": 5.0}.get(label, 0.0) * unit
    speed = 0.0
    if label in _SPEED:
        speed = _SPEED[label] * float(rng.uniform(0.6, 1.2)) * float(rng.choice((-1, 1))) * unit * (0.5 + 0.5 * near)
    margin = size / 2 + 6 * unit
    reach = (margin, width - margin)
    start = float(rng.uniform(*reach))
    return Actor(kind, int(rng.integers(1 << 30)), start, foot, size, speed, hop, reach)


def cast(rng: np.random.Generator, height: int, width: int, frames: int, wanted: int) -> tuple[Actor, ...]:
    """Up to `wanted` actors of different kinds whose paths never hide more than a tenth of each other."""
    actors: list[Actor] = []
    taken: list[list[Box]] = []
    moments = range(0, frames, 4)
    for kind in rng.permutation(len(LABELS)):
        for _ in range(_TRIES):
            actor = _audition(rng, int(kind), height, width)
            stretch = _stretch(actor.kind, actor.style)
            path = [_place(actor.at(moment), stretch) for moment in moments]
            if all(_hidden(a, b) <= _MOST_HIDDEN for other in taken for a, b in zip(path, other, strict=True)):
                actors.append(actor)
                taken.append(path)
                break
        if len(actors) == wanted:
            break
    return tuple(sorted(actors, key=lambda actor: actor.foot))


@dataclass(frozen=True, slots=True)
class SceneClip:
    """A moving scene, the same for the same arguments. Iterating draws its frames one after the other."""

    seed: int
    frames: int = 100
    width: int = 640
    height: int = 360
    objects: int = 5
    backdrop: NDArray[np.uint8] = field(init=False, repr=False, compare=False)
    captions: tuple[Caption, ...] = field(init=False)
    actors: tuple[Actor, ...] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        backdrop = landscape(rng, self.height, self.width)
        object.__setattr__(self, "captions", write_captions(backdrop, rng))
        object.__setattr__(self, "backdrop", backdrop)
        object.__setattr__(self, "actors", cast(rng, self.height, self.width, self.frames, self.objects))

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, frame: int) -> SceneFrame:
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame {frame} of a clip of {self.frames}")
        picture = self.backdrop.copy()
        truth = compose(picture, [actor.at(frame) for actor in self.actors])
        return SceneFrame(picture, truth, self.captions)

    def __iter__(self) -> Iterator[SceneFrame]:
        return (self[frame] for frame in range(self.frames))
