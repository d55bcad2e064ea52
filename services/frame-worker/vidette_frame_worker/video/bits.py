"""Reads the bits of a header, most significant first."""

from __future__ import annotations


class Bits:
    """Behind the end there are zeros: a header that is cut short reads as some other header, and never raises."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """An unsigned number of so many bits: u(n) of the ITU-T's and ISO's syntax tables."""
        self._left -= count
        mask = (1 << count) - 1
        return (self._bits >> self._left if self._left >= 0 else self._bits << -self._left) & mask

    def flag(self) -> bool:
        return self.take(1) == 1

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number: ue(v), ITU-T H.264, 9.1. Longer ones than 32 bits read as 0: no header holds them."""
        zeros = 0
        while zeros <= 32 and not self.flag():
            zeros += 1
        return 0 if zeros > 32 else (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """se(v), ITU-T H.264, 9.1.1."""
        number = self.golomb()
        return (number + 1) // 2 if number % 2 else -(number // 2)
