"""Captions: the text of a scene, known to the letter.

They sit on opaque plates in two bands that objects never enter, so that what text recognition should find is exactly
what was written. Digits 0 and 1 are left out: in this typeface they cannot be told from the letters O and I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

BAND: Final = 50 / 360
"""Height of the upper and of the lower band as a share of the picture's height."""

_PLATE: Final = 38 / 360
_WORDS: Final = (
    "GATE", "PLATFORM", "CAMERA", "ZONE", "LINE", "EXIT", "HARBOUR", "MARKET", "DEPOT", "NORTH PIER", "CITY PARK",
    "STATION", "BRIDGE", "GARDEN STREET", "TERMINAL", "SCHOOL", "MUSEUM", "FERRY", "RIVERSIDE", "TAXI",
)  # fmt: skip
_DIGITS: Final = "23456789"
_FONT: Final = cv2.FONT_HERSHEY_DUPLEX
_COLOURS: Final = (
    ((22, 26, 34), (246, 246, 242)),
    ((246, 246, 242), (22, 26, 34)),
    ((18, 62, 124), (250, 250, 250)),
    ((250, 204, 40), (24, 24, 24)),
    ((16, 92, 66), (250, 250, 250)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of text and the plate it stands on: xyxy in pixels, right and lower edge exclusive."""

    text: str
    box: tuple[float, float, float, float]


def _words(rng: np.random.Generator) -> str:
    word = _WORDS[int(rng.integers(len(_WORDS)))]
    if rng.random() < 0.25:
        return word
    return f"{word} {''.join(_DIGITS[int(rng.integers(len(_DIGITS)))] for _ in range(int(rng.integers(1, 3))))}"


def _write(picture: NDArray[np.uint8], rng: np.random.Generator, text: str, upper: bool) -> Caption:
    height, width = picture.shape[:2]
    plate, band = round(_PLATE * height), round(BAND * height)
    scale = cv2.getFontScaleFromHeight(_FONT, round(plate * 0.6), max(1, round(plate / 20)))
    (wide, tall), _ = cv2.getTextSize(text, _FONT, scale, max(1, round(plate / 20)))
    pad = round(plate * 0.38)
    left = int(rng.integers(round(0.02 * width), max(round(0.02 * width) + 1, round(0.98 * width) - wide - 2 * pad)))
    top = (band - plate) // 2 if upper else height - band + (band - plate) // 2
    right, low = left + wide + 2 * pad, top + plate
    ground, ink = _COLOURS[int(rng.integers(len(_COLOURS)))]
    cv2.rectangle(picture, (left, top), (right - 1, low - 1), ground, -1)
    origin = (left + pad, top + (plate + tall) // 2)
    cv2.putText(picture, text, origin, _FONT, scale, ink, max(1, round(plate / 20)), cv2.LINE_AA)
    return Caption(text, (float(left), float(top), float(right), float(low)))


def write_captions(picture: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Caption, ...]:
    """Writes one caption into each band of `picture` (RGB uint8 [H, W, 3], changed in place)."""
    upper, lower = _words(rng), _words(rng)
    while lower == upper:
        lower = _words(rng)
    return _write(picture, rng, upper, True), _write(picture, rng, lower, False)
