"""Turns stored pictures upright, as the container's display matrix asks.

Source: ISO/IEC 14496-12 §6.2.2. A matrix `a b u, c d v, x y w` sends the stored point (p, q) to
(a·p + c·q + x, b·p + d·q + y).
Only the eight quarter turns and mirrorings are applied; a matrix between two of them counts as the nearer one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np

from vidette_frame_worker.video.facts import RgbImage

_MATRIX = struct.Struct("=9i")


@dataclass(frozen=True, slots=True)
class Orientation:
    """Swap the axes first (or not), then turn around left and right, then top and bottom."""

    swap_axes: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: bytes | None) -> Self:
        """`matrix` is nine 32-bit integers of this machine's byte order, row by row; None or a malformed one is upright."""
        if matrix is None or len(matrix) != _MATRIX.size:
            return cls()
        a, b, _, c, d, *_rest = _MATRIX.unpack(matrix)
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(swap_axes=False, flip_x=a < 0, flip_y=d < 0)
        return cls(swap_axes=True, flip_x=c < 0, flip_y=b < 0)

    @property
    def mirrored(self) -> bool:
        return self.swap_axes ^ self.flip_x ^ self.flip_y

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise that follow the mirroring of left and right, if `mirrored`."""
        turned_x = self.flip_x ^ (self.mirrored and not self.swap_axes)
        turned_y = self.flip_y ^ (self.mirrored and self.swap_axes)
        if self.swap_axes:
            return 90 if turned_y else 270
        return 180 if turned_x else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as displayed."""
        return (height, width) if self.swap_axes else (width, height)

    def apply(self, image: RgbImage) -> RgbImage:
        """`image` [H, W, 3] as displayed, contiguous."""
        if self.swap_axes:
            image = image.transpose(1, 0, 2)
        rows = slice(None, None, -1 if self.flip_y else 1)
        columns = slice(None, None, -1 if self.flip_x else 1)
        return np.ascontiguousarray(image[rows, columns])
