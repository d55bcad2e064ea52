"""Pictures of the eight kinds of thing in the drawn world.

Each kind has one silhouette and a free choice of colours and proportions, so that a detector has to learn the shape.
A sprite is premultiplied RGBA: anti-aliased edges then blend over any backdrop without dark fringes. No sprite carries
a letter or a digit, because the text in a scene must be exactly its captions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

LABELS: Final = ("car", "bus", "person", "bicycle", "sign", "ball", "cone", "drone")
CANVAS: Final = 256
"""Side of the square that sprites are drawn on, in pixels; coordinates below run from 0 to 100."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SHIFT: Final = 4  # cv2 takes fixed-point coordinates: sixteenths of a pixel
_UNIT: Final = CANVAS / 100 * 2**_SHIFT
_GLASS: Final[Colour] = (178, 214, 232)
_TYRE: Final[Colour] = (32, 32, 36)
_PAINTS: Final[tuple[Colour, ...]] = (
    (214, 58, 50), (38, 110, 196), (244, 190, 40), (44, 150, 92), (238, 238, 234), (62, 66, 78),
    (232, 120, 44), (120, 74, 160), (34, 160, 172), (196, 70, 120), (150, 160, 170), (120, 170, 60),
)  # fmt: skip
_SKINS: Final[tuple[Colour, ...]] = ((240, 204, 176), (204, 152, 112), (148, 100, 70), (98, 66, 48))
_HAIRS: Final[tuple[Colour, ...]] = ((44, 32, 26), (96, 62, 36), (170, 130, 70), (128, 124, 120))


class Brush:
    """Draws on a transparent square with coordinates in hundredths of its side."""

    def __init__(self) -> None:
        self.canvas: NDArray[np.uint8] = np.zeros((CANVAS, CANVAS, 4), np.uint8)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        corners = np.round(np.asarray(points, np.float64) * _UNIT).astype(np.int32)
        cv2.fillPoly(self.canvas, [corners], (*colour, 255), cv2.LINE_AA, _SHIFT)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        self.polygon([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in turn], colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        centre = (round(x * _UNIT), round(y * _UNIT))
        thickness = max(1, round(width * CANVAS / 100))
        cv2.circle(self.canvas, centre, round(radius * _UNIT), (*colour, 255), thickness, cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        corners = np.round(np.asarray(points, np.float64) * _UNIT).astype(np.int32)
        thickness = max(1, round(width * CANVAS / 100))
        cv2.polylines(self.canvas, [corners], False, (*colour, 255), thickness, cv2.LINE_AA, _SHIFT)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, max(0, round(c * factor))) for c in colour)
    return red, green, blue


def _paint(rng: np.random.Generator, choices: Sequence[Colour] = _PAINTS) -> Colour:
    base = choices[int(rng.integers(len(choices)))]
    red, green, blue = (int(np.clip(c + rng.integers(-18, 19), 0, 255)) for c in base)
    return red, green, blue


def _wheel(brush: Brush, x: float, y: float, radius: float) -> None:
    brush.ellipse(x, y, radius, radius, _TYRE)
    brush.ellipse(x, y, radius * 0.55, radius * 0.55, (176, 180, 186))
    brush.ellipse(x, y, radius * 0.2, radius * 0.2, (90, 92, 98))


def _car(brush: Brush, rng: np.random.Generator, _phase: float) -> None:
    paint, roof, back = _paint(rng), rng.uniform(28, 34), rng.uniform(14, 24)
    brush.polygon(((back, 50), (back + 14, roof), (66, roof), (84, 50)), _shade(paint, 0.92))
    brush.polygon(((3, 54), (10, 49), (84, 49), (95, 54), (97, 70), (3, 70)), paint)
    brush.box(3, 65, 97, 71, _shade(paint, 0.7))
    brush.polygon(((back + 6, 49), (back + 16, roof + 3.5), (46, roof + 3.5), (46, 49)), _GLASS)
    brush.polygon(((50, 49), (50, roof + 3.5), (64, roof + 3.5), (77, 49)), _GLASS)
    brush.stroke(((48, 50), (48, 66)), 0.9, _shade(paint, 0.75))
    brush.box(52, 54, 58, 56, _shade(paint, 0.6))
    brush.polygon(((90, 54), (95, 55), (96, 60), (91, 60)), (252, 240, 190))
    brush.box(3, 55, 6, 61, (190, 40, 36))
    for x in (24, 76):
        _wheel(brush, x, 70, 10)


def _bus(brush: Brush, rng: np.random.Generator, _phase: float) -> None:
    paint, stripe, top = _paint(rng), _paint(rng), rng.uniform(22, 27)
    brush.polygon(((4, top), (93, top), (97, top + 5), (97, 74), (2, 74), (2, top + 2)), paint)
    brush.box(2, 60, 97, 65, stripe)
    brush.box(2, 70, 97, 74, _shade(paint, 0.65))
    for left in range(6, 78, 14):
        brush.box(left, top + 7, left + 11, 52, _GLASS)
    brush.box(79, top + 7, 87, 71, _shade(_GLASS, 0.86))
    brush.stroke(((83, top + 7), (83, 71)), 0.8, _shade(paint, 0.6))
    brush.polygon(((90, top + 7), (96, top + 7), (97, 54), (90, 54)), _GLASS)
    brush.box(93, 64, 97, 68, (252, 240, 190))
    for x in (22, 68):
        _wheel(brush, x, 75, 8)


def _person(brush: Brush, rng: np.random.Generator, phase: float) -> None:
    shirt, trousers = _paint(rng), _shade(_paint(rng), 0.6)
    skin, hair = _SKINS[int(rng.integers(len(_SKINS)))], _HAIRS[int(rng.integers(len(_HAIRS)))]
    swing = 7.5 * math.sin(phase)
    for side, tone in ((-1, 0.8), (1, 1.0)):
        knee, foot = 50 + side * swing * 0.6, 50 + side * swing * 1.5
        brush.stroke(((50, 57), (knee, 76), (foot, 94)), 7.5, _shade(trousers, tone))
        brush.stroke(((foot - 1, 96), (foot + 4, 96)), 4.5, _TYRE)
    brush.stroke(((48, 31), (47 + swing, 44), (50 + swing * 1.7, 55)), 5, _shade(shirt, 0.72))
    brush.polygon(((42, 27), (58, 27), (59, 44), (57, 60), (43, 60), (41, 44)), shirt)
    brush.stroke(((52, 31), (52 - swing, 44), (55 - swing * 1.7, 55)), 5, _shade(shirt, 0.85))
    brush.ellipse(55 - swing * 1.7, 57, 2.6, 2.6, skin)
    brush.box(47.5, 21, 52.5, 28, _shade(skin, 0.88))
    brush.ellipse(50, 14, 8.5, 10, hair)
    brush.ellipse(51.5, 15.5, 6.8, 8, skin)


def _bicycle(brush: Brush, rng: np.random.Generator, phase: float) -> None:
    paint, rim = _paint(rng), (70, 72, 78)
    for x in (24.0, 76.0):
        for spoke in range(4):
            angle = phase + spoke * math.pi / 4
            dx, dy = 18 * math.cos(angle), 18 * math.sin(angle)
            brush.stroke(((x - dx, 68 - dy), (x + dx, 68 + dy)), 0.5, (150, 152, 158))
        brush.ring(x, 68, 19, 3.4, _TYRE)
        brush.ellipse(x, 68, 2.4, 2.4, rim)
    brush.stroke(((24, 68), (40, 42), (68, 42), (47, 68), (24, 68)), 3.2, paint)
    brush.stroke(((47, 68), (38, 36)), 3.2, paint)
    brush.stroke(((76, 68), (67, 36), (66, 31)), 3.2, _shade(paint, 0.8))
    brush.stroke(((66, 31), (74, 30), (75, 34)), 2.6, _TYRE)
    brush.stroke(((31, 35), (44, 35)), 4.2, _TYRE)
    brush.ellipse(47, 68, 4.2, 4.2, rim)


def _sign(brush: Brush, rng: np.random.Generator, _phase: float) -> None:
    sides, first = ((8, math.pi / 8), (3, -math.pi / 2), (4, 0.0), (24, 0.0))[int(rng.integers(4))]
    face = _paint(rng, ((204, 36, 40), (34, 88, 192), (246, 194, 28), (30, 140, 80)))
    inner = _shade(face, 0.72) if rng.random() < 0.5 else (246, 246, 242)
    brush.box(47.5, 40, 52.5, 98, (142, 146, 152))
    brush.box(47.5, 40, 49, 98, (176, 180, 186))
    middle = 33.0 if sides == 3 else 28.0
    for radius, colour in ((27.0, (248, 248, 246)), (24.0, face), (10.0, inner)):
        turn = [first + 2 * math.pi * k / sides for k in range(sides)]
        brush.polygon([(50 + radius * math.cos(a), middle + radius * math.sin(a)) for a in turn], colour)


def _ball(brush: Brush, rng: np.random.Generator, phase: float) -> None:
    paints, white = (_paint(rng), _paint(rng)), (246, 246, 242)
    brush.ellipse(50, 50, 47, 47, white)
    for sector in range(6):
        start = phase + sector * math.pi / 3
        arc = np.linspace(start, start + math.pi / 3, 10)
        if sector % 2:
            rim = [(50 + 47 * math.cos(a), 50 + 47 * math.sin(a)) for a in arc]
            brush.polygon([(50.0, 50.0), *rim], paints[sector // 2 % 2])
    brush.ellipse(50, 50, 8, 8, white)
    brush.ring(50, 50, 46, 2.0, (150, 150, 152))


def _cone(brush: Brush, rng: np.random.Generator, _phase: float) -> None:
    orange = _paint(rng, ((242, 112, 30), (236, 84, 26), (250, 140, 36)))
    white, spread = (248, 248, 244), rng.uniform(24, 29)

    def at(y: float) -> float:
        return 5 + (spread - 5) * (y - 6) / 80

    brush.polygon(((45, 6), (55, 6), (50 + spread, 86), (50 - spread, 86)), orange)
    for top, bottom in ((26, 42), (56, 72)):
        brush.polygon(
            ((50 - at(top), top), (50 + at(top), top), (50 + at(bottom), bottom), (50 - at(bottom), bottom)),
            white,
        )
    brush.polygon(((53, 6), (55, 6), (50 + spread, 86), (42 + spread, 86)), _shade(orange, 0.82))
    brush.polygon(((12, 86), (88, 86), (92, 95), (8, 95)), _shade(orange, 0.78))


def _drone(brush: Brush, rng: np.random.Generator, phase: float) -> None:
    paint, arm = _paint(rng), (52, 54, 60)
    for x, y in ((12.0, 36.0), (88.0, 36.0), (30.0, 31.0), (70.0, 31.0)):
        brush.stroke(((50, 47), (x, y + 5)), 3.2, arm)
        brush.box(x - 1.4, y - 1, x + 1.4, y + 6, arm)
        brush.ellipse(x, y - 1, 11 * (0.82 + 0.18 * math.cos(phase + x)), 1.7, (120, 124, 132))
    brush.stroke(((43, 55), (35, 68), (29, 68)), 2.4, arm)
    brush.stroke(((57, 55), (65, 68), (71, 68)), 2.4, arm)
    brush.polygon(((36, 44), (43, 38), (57, 38), (64, 44), (60, 57), (40, 57)), paint)
    brush.box(38, 50, 62, 53, _shade(paint, 0.7))
    brush.ellipse(50, 59, 5.5, 5.5, arm)
    brush.ellipse(50, 60, 2.6, 2.6, _GLASS)


_PAINTERS: Final[tuple[Callable[[Brush, np.random.Generator, float], None], ...]] = (
    _car, _bus, _person, _bicycle, _sign, _ball, _cone, _drone,
)  # fmt: skip


def draw_sprite(kind: int, style: int, phase: float) -> NDArray[np.uint8]:
    """One sprite, cropped to what is visible of it.

    `kind` indexes LABELS; `style` seeds colours and proportions; `phase` (radians) turns wheels and balls and moves
    legs, so that one object keeps its looks while it moves. Returns premultiplied RGBA uint8 [h, w, 4], facing right.
    """
    brush = Brush()
    _PAINTERS[kind](brush, np.random.default_rng(style), phase)
    solid = brush.canvas[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return brush.canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
