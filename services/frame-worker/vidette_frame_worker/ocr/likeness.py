"""Whether a picture, or a line of text in it, still shows what an earlier one showed, but for a codec's noise.

A still picture does not come out of a lossy codec still: H.264 sharpens it over its first frames and then lets it flicker in
short cycles. Equality would take half of such frames for new pictures. What tells noise from a change is that noise is spread
thin, where even a full stop is dark in one place: so differences are added up in small windows. docs/adr/0011 has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from vidette_frame_worker.ocr.canvas import Boxes, Picture
from vidette_frame_worker.ocr.strips import Request

WINDOW = 4
"""Side of the square, in pixels, over which differences are added up."""
BOUND = 6 * WINDOW * WINDOW
"""The largest sum of differences in a window, in levels of one channel, that passes for noise: 6 levels in each pixel.

On a still clip from libx264 noise goes beyond it at key frames and while the codec sharpens what follows, and seldom else; a
stroke two pixels wide does from a contrast of 13 levels out of 255 on.
"""
MARGIN = 2
"""Pixels around a line's box that have to look the same too."""
_BAND = 64
Corners = tuple[float, ...]
"""x and y of the four corners of a box, in pixels."""
Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels, right and bottom exclusive."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as it stands in one picture UINT8 [H,W,3]: its box, and the columns to which its strip is padded."""

    picture: Picture
    box: Corners
    padded: int

    def remembered(self) -> SeenLine:
        """What has to be kept to know it again, without the picture."""
        around = self._around()
        return SeenLine(self.box, self.padded, _cut(self.picture, around).copy(), around)

    def _around(self) -> Rectangle:
        height, width = self.picture.shape[:2]
        xs, ys = self.box[0::2], self.box[1::2]
        left, top = max(math.floor(min(xs)) - MARGIN, 0), max(math.floor(min(ys)) - MARGIN, 0)
        right, bottom = math.ceil(max(xs)) + MARGIN + 1, math.ceil(max(ys)) + MARGIN + 1
        return left, top, min(right, width), min(bottom, height)


@dataclass(frozen=True, slots=True)
class SeenLine:
    """A line that an earlier picture had, with its pixels there."""

    box: Corners
    padded: int
    pixels: Picture
    around: Rectangle

    def is_still(self, line: Line) -> bool:
        """Whether this is the same line: the same box, padded alike, with the same pixels in it and around.

        The recogniser does not always read alike what is cut a pixel beside, or padded otherwise: "TAXI 5" and "TAXI5".
        """
        return (
            self.box == line.box
            and self.padded == line.padded
            and looks_the_same(self.pixels, _cut(line.picture, self.around))
        )


def looks_the_same(before: Picture, now: Picture) -> bool:
    """Whether no window of the two UINT8 [H,W,3] pictures differs by more than BOUND in any channel.

    Whole numbers throughout, so the answer is the same on every machine. Ends at the first band of rows that differs.
    """
    if before.shape != now.shape:
        return False
    # Each band begins with the last rows of the one before, so that every window lies whole in one of them.
    tops = range(0, max(before.shape[0] - WINDOW + 1, 1), _BAND)
    return all(_is_noise(before[top : top + _BAND + WINDOW - 1], now[top : top + _BAND + WINDOW - 1]) for top in tops)


def _is_noise(before: Picture, now: Picture) -> bool:
    difference = cv2.absdiff(before, now)
    sums = cv2.boxFilter(difference, cv2.CV_16U, (WINDOW, WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return bool(sums.max() <= BOUND)


def lines_of(picture: Picture, boxes: Boxes, requests: Sequence[Request]) -> list[Line]:
    """The lines in the order of their boxes [n,4,2]; `requests` say how each is padded."""
    padded = {index: request.width for request in requests for index in request.members}
    corners = boxes.reshape(-1, 8).tolist()
    return [Line(picture, tuple(numbers), padded[index]) for index, numbers in enumerate(corners)]


def _cut(picture: Picture, place: Rectangle) -> Picture:
    left, top, right, bottom = place
    return picture[top:bottom, left:right]
