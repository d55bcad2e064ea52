"""Pictures of what was found: the frame as it was decoded, a box and a label plate for each object, an outline for each text.

Pure: frames and rows in, pictures out. Everything is drawn anti-aliased and thin enough for a picture of 640x360, and grows
with larger ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vidette import Detection, FrameResult, TextLine

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

# Clear of one another and of grass, road and sky; BGR, as everything OpenCV draws.
_PALETTE: Final[tuple[Colour, ...]] = (
    (76, 57, 237),
    (219, 112, 34),
    (52, 161, 22),
    (22, 133, 249),
    (191, 62, 162),
    (120, 150, 8),
    (126, 38, 219),
    (48, 92, 168),
)
_TEXT_COLOUR: Final[Colour] = (0, 215, 255)
_INK: Final[Colour] = (255, 255, 255)
_HALO: Final[Colour] = (20, 20, 20)
_SUB_PIXEL_BITS: Final = 4
_WEIGHT: Final = 600


@dataclass(frozen=True, slots=True)
class _Pen:
    """Sizes in pixels for a picture of a certain height."""

    line: int
    halo: int
    letters: int
    pad: int

    @classmethod
    def for_height(cls, height: int) -> _Pen:
        unit = max(height / 360, 0.5)
        line = max(1, round(2 * unit))
        return cls(
            line=line,
            halo=line + max(2, round(2 * unit)),
            letters=max(9, round(13 * unit)),
            pad=max(2, round(3 * unit)),
        )


def annotate(frame: Picture, result: FrameResult) -> Picture:
    """A copy of `frame` (BGR uint8 [H, W, 3]) with everything in `result` drawn on it.

    Boxes and polygons are in pixels of the frame. Plates are placed where they hide neither one another nor leave the
    picture, as far as there is room.
    """
    picture = frame.copy()
    pen = _Pen.for_height(frame.shape[0])
    for line in result.lines:
        _outline(picture, _corners(line), _TEXT_COLOUR, pen)
    found = sorted(result.detections, key=lambda detection: detection.confidence)
    for detection in found:
        _outline(picture, _box(detection), colour_of(detection.class_id), pen)
    plates: list[tuple[int, int, int, int]] = []
    for detection in reversed(found):
        plates.append(_plate(picture, detection, pen, plates))
    return picture


def colour_of(class_id: int) -> Colour:
    """The colour of a class, the same in every picture (BGR)."""
    return _PALETTE[class_id % len(_PALETTE)]


def _box(detection: Detection) -> NDArray[np.float64]:
    x, y, width, height = detection.bbox
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def _corners(line: TextLine) -> NDArray[np.float64]:
    return np.array(line.polygon, dtype=np.float64).reshape(-1, 2)


def _outline(picture: Picture, corners: NDArray[np.float64], colour: Colour, pen: _Pen) -> None:
    """A dark line below a bright one, so that it shows on any ground. Pixel centres lie at half pixels."""
    if len(corners) < 2 or not np.isfinite(corners).all() or np.abs(corners).max() > 1e6:
        return
    points = np.round((corners - 0.5) * (1 << _SUB_PIXEL_BITS)).astype(np.int32)
    for ink, width in ((_HALO, pen.halo), (colour, pen.line)):
        cv2.polylines(picture, [points], True, ink, width, cv2.LINE_AA, _SUB_PIXEL_BITS)


def _plate(
    picture: Picture, detection: Detection, pen: _Pen, taken: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """Writes label and confidence beside the box; returns the plate as x1, y1, x2, y2."""
    text = f"{detection.label} {detection.confidence:.0%}"
    font = cv2.FontFace("sans")
    bounds = cv2.getTextSize((0, 0), text, (0, 0), font, pen.letters, _WEIGHT)
    wide, tall = bounds[2] + 2 * pen.pad, pen.letters + 2 * pen.pad
    left, top = _place(detection, (wide, tall), picture.shape[:2], taken)
    right, low = left + wide, top + tall
    _rounded(picture, (left, top, right, low), colour_of(detection.class_id), pen.pad)
    origin = (left + pen.pad - bounds[0], top + pen.pad + round(0.86 * pen.letters))
    cv2.putText(picture, text, origin, _INK, font, pen.letters, _WEIGHT)
    return left, top, right, low


def _place(
    detection: Detection, size: tuple[int, int], shape: tuple[int, ...], taken: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int]:
    """Above the box, else below it, else inside it: the first place that is in the picture and free."""
    x, y, width, height = detection.bbox
    wide, tall = size
    picture_height, picture_width = shape[0], shape[1]
    places = [(x - 1, y - tall), (x + width - wide, y - tall), (x - 1, y + height), (x, y), (x, y + height - tall)]
    fitted = [(round(min(max(left, 0), max(picture_width - wide, 0))), round(top)) for left, top in places]
    for left, top in fitted:
        inside = top >= 0 and top + tall <= picture_height
        if inside and not any(_overlap((left, top, left + wide, top + tall), other) for other in taken):
            return left, top
    left, top = fitted[0]
    return left, min(max(top, 0), max(picture_height - tall, 0))


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _rounded(picture: Picture, area: tuple[int, int, int, int], colour: Colour, radius: int) -> None:
    left, top, right, low = area
    cv2.rectangle(picture, (left + radius, top), (right - radius - 1, low - 1), colour, cv2.FILLED)
    cv2.rectangle(picture, (left, top + radius), (right - 1, low - radius - 1), colour, cv2.FILLED)
    for x in (left + radius, right - radius - 1):
        for y in (top + radius, low - radius - 1):
            cv2.circle(picture, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)
