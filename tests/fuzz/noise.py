"""Damage that knows nothing of what it damages."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.chance import Dice

Spoil = Callable[[Dice, bytearray], None]


def flip_bits(dice: Dice, data: bytearray) -> None:
    for _ in range(dice.of((1, 1, 2, 4, 16, 64))):
        if data:
            data[dice.below(len(data))] ^= 1 << dice.below(8)


def put_number(dice: Dice, data: bytearray) -> None:
    size = dice.of((1, 2, 4, 4, 4, 8))
    if len(data) < size:
        return
    at = dice.below(len(data) - size + 1)
    order = dice.of(("big", "little"))
    old = int.from_bytes(data[at : at + size], "big" if order == "big" else "little")
    data[at : at + size] = dice.number(8 * size, old).to_bytes(size, "big" if order == "big" else "little")


def cut(dice: Dice, data: bytearray) -> None:
    del data[dice.below(len(data)) :]


def leave_out(dice: Dice, data: bytearray) -> None:
    at = dice.below(len(data))
    del data[at : at + dice.of((1, 4, 8, 100, 2000))]


def fill(dice: Dice, data: bytearray) -> None:
    at, size = dice.below(len(data)), dice.of((1, 4, 16, 100, 2000))
    size = min(size, len(data) - at)
    data[at : at + size] = dice.of((b"\0", b"\xff", b"\x80", dice.bytes(1))) * size


def repeat(dice: Dice, data: bytearray) -> None:
    at, size = dice.below(len(data)), dice.of((4, 8, 100, 1000))
    data[at:at] = bytes(data[at : at + size]) * dice.of((1, 1, 2, 20))


def insert(dice: Dice, data: bytearray) -> None:
    at = dice.below(len(data) + 1)
    data[at:at] = dice.bytes(dice.of((1, 2, 4, 8, 100)))


SPOILS: tuple[Spoil, ...] = (flip_bits, flip_bits, put_number, put_number, cut, leave_out, fill, repeat, insert)


def spoilt(dice: Dice, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.of((1, 1, 1, 2, 4))):
        if changed:
            dice.of(SPOILS)(dice, changed)
    return bytes(changed)
