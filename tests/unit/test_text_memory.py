"""What the frames of a chunk know of each other's text: in frame order, whatever the threads do and whoever fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

from vidette_core.domain.jobs import TextCounts
from vidette_core.ports.errors import Rejected
from vidette_frame_worker.ocr import ChunkMemory, Seat
from vidette_frame_worker.ocr.canvas import Boxes
from vidette_frame_worker.ocr.likeness import Line
from vidette_frame_worker.ocr.memory import MAX_LINES_KNOWN, Reading

pytestmark = pytest.mark.timeout(60)
BOX = (0, 0, 8, 0, 8, 8, 0, 8)
BOXES = np.zeros((1, 4, 2), np.float32)


def picture(level: int) -> NDArray[np.uint8]:
    return np.full((8, 8, 3), level, np.uint8)


def lines(keys: Sequence[bytes]) -> list[Line]:
    """Lines that differ where their keys do, since each is padded otherwise."""
    return [Line(picture(0), BOX, crc32(key)) for key in keys]


def look(seat: Seat, level: int = 0) -> None:
    seat.boxes(picture(level), lambda: BOXES)


class Model:
    """Reads a key as itself, and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def reader(self, keys: Sequence[bytes]) -> Callable[[Sequence[int]], Iterator[tuple[int, Reading]]]:
        def read(indices: Sequence[int]) -> Iterator[tuple[int, Reading]]:
            for index in indices:
                self.asked.append(keys[index])
                yield index, (keys[index].decode(), 1.0)

        return read

    def read(self, seat: Seat, *keys: bytes) -> list[str]:
        return [text for text, _ in seat.readings(lines(keys), self.reader(keys))]


def test_a_strip_that_an_earlier_frame_read_is_not_read_again() -> None:
    memory, model = ChunkMemory(), Model()
    first, second = memory.seat(), memory.seat()
    assert model.read(first, b"one", b"two") == ["one", "two"]
    assert model.read(second, b"two", b"three", b"one") == ["two", "three", "one"]
    assert model.asked == [b"one", b"two", b"three"]
    assert (first.counts, second.counts) == (TextCounts(2, 0), TextCounts(1, 2))


def test_a_strip_that_stands_in_one_frame_twice_was_not_known_from_an_earlier_frame() -> None:
    memory, model = ChunkMemory(), Model()
    seats = memory.seat(), memory.seat()
    assert [model.read(seat, b"same", b"same") for seat in seats] == [["same", "same"]] * 2
    assert [seat.counts for seat in seats] == [TextCounts(2, 0), TextCounts(0, 2)]


def looked_for(memory: ChunkMemory, levels: Iterable[int]) -> list[int]:
    """The levels of those pictures in which text was looked for."""
    searches: list[int] = []

    def find(level: int) -> Boxes:
        searches.append(level)
        return BOXES

    for level in levels:
        with memory.seat() as seat:
            seat.boxes(picture(level), partial(find, level))
    return searches


def test_text_is_looked_for_again_only_when_the_picture_changes() -> None:
    assert looked_for(ChunkMemory(), (100, 100, 103, 120, 100)) == [100, 120, 100]


def test_a_slow_fade_is_compared_with_the_picture_in_which_text_was_looked_for() -> None:
    assert looked_for(ChunkMemory(), range(100, 130)) == [100, 107, 114, 121, 128]


def test_a_frame_waits_for_what_an_earlier_one_is_just_reading() -> None:
    memory, model = ChunkMemory(), Model()
    early, late = memory.seat(), memory.seat()
    asked, answer = threading.Event(), threading.Event()

    def slow(indices: Sequence[int]) -> Iterator[tuple[int, Reading]]:
        asked.set()
        assert answer.wait(20)
        yield from ((index, ("slow", 0.5)) for index in indices)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(early.readings, lines([b"strip"]), slow)
        assert asked.wait(20)
        second = pool.submit(model.read, late, b"strip")
        time.sleep(0.1)
        assert not second.done()
        answer.set()
        assert first.result(20) == [("slow", 0.5)]
        assert second.result(20) == ["slow"]
    assert model.asked == []


def test_a_later_frame_that_is_faster_still_comes_second() -> None:
    memory, model = ChunkMemory(), Model()
    early, late = memory.seat(), memory.seat()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(model.read, late, b"strip")
        time.sleep(0.1)
        assert not second.done()
        assert model.read(early, b"strip") == ["strip"]
        assert second.result(20) == ["strip"]
    assert (early.counts, late.counts) == (TextCounts(1, 0), TextCounts(0, 1))


def test_what_a_failed_frame_did_not_find_out_others_find_out_for_themselves() -> None:
    memory, model = ChunkMemory(), Model()
    failing, waiting, last = (memory.seat() for _ in range(3))

    def refused(indices: Sequence[int]) -> Iterator[tuple[int, Reading]]:
        yield indices[0], ("kept", 1.0)
        raise Rejected("not the second")

    def fail() -> None:
        with failing:
            look(failing)
            failing.readings(lines([b"one", b"two"]), refused)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(model.read, seat, b"one", b"two") for seat in (waiting, last)]
        with pytest.raises(Rejected):
            fail()
        assert [other.result(20) for other in others] == [["kept", "two"]] * 2
    assert (waiting.counts, last.counts) == (TextCounts(1, 1), TextCounts(1, 1))
    assert model.asked == [b"two", b"two"]


def test_a_second_try_reads_only_what_the_first_one_did_not() -> None:
    memory, model = ChunkMemory(), Model()
    seat, keys = memory.seat(), [b"one", b"two"]

    def refused_once(indices: Sequence[int]) -> Iterator[tuple[int, Reading]]:
        yield indices[0], ("one", 1.0)
        raise Rejected("not now")

    with pytest.raises(Rejected):
        seat.readings(lines(keys), refused_once)
    assert model.read(seat, *keys) == ["one", "two"]
    assert model.asked == [b"two"]
    assert seat.counts == TextCounts(2, 0)


def test_a_frame_that_leaves_without_looking_holds_up_nobody() -> None:
    memory, model = ChunkMemory(), Model()
    seats = [memory.seat() for _ in range(4)]
    for gone in (seats[2], seats[0], seats[1]):
        with gone:
            pass
    look(seats[3])
    assert model.read(seats[3], b"strip") == ["strip"]


def test_a_wait_ends_when_there_is_no_sense_in_it() -> None:
    class Over(Exception):
        pass

    def check() -> None:
        raise Over

    memory = ChunkMemory(check)
    memory.seat()
    with pytest.raises(Over):
        look(memory.seat())


def test_a_video_that_never_shows_the_same_twice_fills_a_bounded_memory() -> None:
    memory, model = ChunkMemory(), Model()
    keys = [str(number).encode() for number in range(MAX_LINES_KNOWN + 5)]
    first, second = memory.seat(), memory.seat()
    assert model.read(first, *keys) == model.read(second, *keys)
    assert second.counts == TextCounts(5, MAX_LINES_KNOWN)


def test_of_several_lines_that_would_do_the_one_seen_last_is_taken() -> None:
    memory = ChunkMemory()

    def read_at(level: int) -> str:
        lines = [Line(picture(level), BOX, 320)]
        ((text, _),) = memory.seat().readings(lines, lambda wanted: [(index, (str(level), 1.0)) for index in wanted])
        return text

    assert [read_at(level) for level in (100, 107, 103)] == ["100", "107", "107"]
