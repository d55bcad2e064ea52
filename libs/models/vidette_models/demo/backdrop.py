"""What stands behind the objects: calm landscapes, and plainer pictures that only training uses.

A backdrop must hold nothing that could pass for one of the eight kinds: no discs, no rings, no triangles. It is drawn
once per clip and stays still, as a fixed camera would see it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

HORIZON: Final = 0.46
"""Height of the horizon as a share of the picture's height, measured from the top."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one kind of day."""

    sky_top: Colour
    sky_low: Colour
    far: Colour
    near: Colour
    grass: Colour
    road: Colour


PALETTES: Final = (
    Palette((92, 156, 222), (214, 232, 244), (150, 180, 196), (110, 156, 112), (126, 168, 98), (112, 114, 120)),
    Palette((74, 88, 150), (248, 186, 140), (150, 118, 138), (112, 92, 104), (136, 122, 92), (96, 90, 98)),
    Palette((166, 178, 190), (224, 228, 230), (164, 174, 180), (128, 142, 132), (140, 150, 120), (124, 126, 130)),
    Palette((20, 28, 62), (66, 76, 120), (44, 52, 84), (36, 48, 64), (44, 62, 58), (58, 60, 72)),
    Palette((120, 190, 222), (250, 236, 206), (214, 178, 140), (222, 190, 136), (232, 206, 152), (160, 146, 128)),
    Palette((150, 186, 216), (240, 244, 248), (186, 200, 214), (206, 216, 224), (230, 236, 240), (136, 142, 150)),
)


def _jitter(colour: Colour, rng: np.random.Generator) -> Colour:
    red, green, blue = (int(np.clip(c + rng.integers(-12, 13), 0, 255)) for c in colour)
    return red, green, blue


def _gradient(height: int, width: int, top: Colour, low: Colour) -> NDArray[np.float32]:
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    column = np.asarray(top, np.float32) * (1 - share) + np.asarray(low, np.float32) * share
    return np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)))


def _grain(rng: np.random.Generator, height: int, width: int, cell: int, strength: float) -> NDArray[np.float32]:
    coarse = rng.normal(0, strength, (max(2, height // cell), max(2, width // cell), 1)).astype(np.float32)
    return np.atleast_3d(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).astype(np.float32)


def _hills(picture: Picture, rng: np.random.Generator, base: float, height: float, colour: Colour) -> None:
    width = picture.shape[1]
    x = np.linspace(0, 1, 64)
    wave = sum(math.pow(0.6, k) * np.sin(2 * math.pi * (x * (k + 0.7) + rng.random())) for k in range(3))
    ridge = base - height * (1 + np.asarray(wave) / 2)
    outline = np.concatenate([np.stack([x * width, ridge], 1), [[width, base + height], [0, base + height]]])
    cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], colour, cv2.LINE_AA)


def _skyline(picture: Picture, rng: np.random.Generator, base: int, colour: Colour) -> None:
    height, width = picture.shape[:2]
    left = float(rng.uniform(0, width * 0.5))
    for _ in range(int(rng.integers(4, 10))):
        wide, tall = rng.uniform(0.03, 0.07) * width, rng.uniform(0.05, 0.2) * height
        corners = (round(left), round(base - tall)), (round(left + wide), base)
        light = rng.uniform(0.88, 1.06)
        cv2.rectangle(picture, *corners, tuple(min(255, round(c * light)) for c in colour), -1)
        left += wide + float(rng.uniform(0, 0.02)) * width


def _clouds(picture: Picture, rng: np.random.Generator, base: int) -> None:
    height, width = picture.shape[:2]
    veil = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(0, 4))):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0.1, 0.7) * base)
        for _ in range(4):
            centre = (round(x + float(rng.normal(0, 0.05)) * width), round(y + float(rng.normal(0, 0.02)) * height))
            axes = (round(0.07 * width), round(0.035 * height))
            cv2.ellipse(veil, centre, axes, 0, 0, 360, float(rng.uniform(0.2, 0.45)), -1)
    veil = np.asarray(cv2.GaussianBlur(veil, (0, 0), 0.018 * width), np.float32)[..., None]
    picture[:] = (picture * (1 - veil) + np.float32(246) * veil).astype(np.uint8)


def _road(picture: Picture, colour: Colour) -> None:
    height, width = picture.shape[:2]
    top, low = round(0.64 * height), round(0.84 * height)
    cv2.rectangle(picture, (0, top), (width, low), colour, -1)
    edge = tuple(min(255, c + 46) for c in colour)
    for y, thick in ((top, 0.006), (low, 0.01)):
        cv2.rectangle(picture, (0, y), (width, y + max(1, round(thick * height))), edge, -1)
    y, thick = round(0.735 * height), max(1, round(0.009 * height))
    for k in range(-1, 12):
        x = round((k + 0.25) * width / 10)
        cv2.rectangle(picture, (x, y), (x + round(0.045 * width), y + thick), edge, -1)


def landscape(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Sky, hills or a skyline, ground and a road. RGB uint8 [height, width, 3]."""
    palette = PALETTES[int(rng.integers(len(PALETTES)))]
    base = round(HORIZON * height)
    sky = _gradient(base, width, _jitter(palette.sky_top, rng), _jitter(palette.sky_low, rng))
    grass = _jitter(palette.grass, rng)
    far: Colour = (round(grass[0] * 0.92), round(grass[1] * 0.92), round(grass[2] * 0.92))
    ground = _gradient(height - base, width, far, grass)
    picture = np.clip(np.concatenate([sky, ground]), 0, 255).astype(np.uint8)
    _clouds(picture, rng, base)
    _hills(picture, rng, base, 0.1 * height, _jitter(palette.far, rng))
    if rng.random() < 0.5:
        _skyline(picture, rng, base + 2, palette.far)
    _hills(picture, rng, base + 0.02 * height, 0.035 * height, _jitter(palette.near, rng))
    picture[base:] = np.clip(ground, 0, 255).astype(np.uint8)
    _road(picture, _jitter(palette.road, rng))
    texture = _grain(rng, height, width, 9, 2.2) + _grain(rng, height, width, 1, 1.2)
    return np.asarray(np.clip(picture + texture, 0, 255), np.uint8)


def plain(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A gradient with soft blotches and a few bars, so that nothing is learned from the landscape alone."""
    low, high = (tuple(int(c) for c in rng.integers(20, 236, 3)) for _ in range(2))
    picture = _gradient(height, width, (low[0], low[1], low[2]), (high[0], high[1], high[2]))
    picture = picture + _grain(rng, height, width, int(rng.integers(6, 40)), float(rng.uniform(2, 14)))
    canvas = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        colour = tuple(int(c) for c in rng.integers(20, 236, 3))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        wide, tall = int(rng.integers(4, width // 3)), int(rng.integers(4, height // 3))
        cv2.rectangle(canvas, (x, y), (x + wide, y + tall), colour, -1)
    return canvas
