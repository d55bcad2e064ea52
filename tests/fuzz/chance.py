"""The dice: everything that is random comes from one generator, made from the seed and the case's number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
NUMBERS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 127, 128, 255, 256, 1000, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF)
LARGE = (10_000_000, 2**24, 2**27, 2**30, 2**31 - 1, 2**31, 2**32 - 9, 2**32 - 1)
HUGE = (2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)


class Dice:
    def __init__(self, *seed: object) -> None:
        self._random = random.Random(":".join(map(str, seed)))

    def one_in(self, many: int) -> bool:
        return self._random.randrange(many) == 0

    def below(self, end: int) -> int:
        return self._random.randrange(max(1, end))

    def between(self, first: int, last: int) -> int:
        return self._random.randint(first, last)

    def of(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def number(self, bits: int, near: int = 0) -> int:
        """Where programs go wrong: at the bounds of types, a little beside the right value, or anywhere."""
        kind = self.below(4)
        if kind == 0:
            value = near + self.between(-16, 16)
        elif kind == 1:
            value = self.of(NUMBERS)
        elif kind == 2:
            value = self.of(LARGE if bits <= 32 else HUGE)
        else:
            value = self._random.getrandbits(bits)
        return int(value % 2**bits)
