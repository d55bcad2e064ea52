"""Whatever the threads do and whichever frames fail, a chunk's readings and counts are those of reading it frame by frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidette_core.domain.jobs import TextCounts
from vidette_core.ports.errors import Rejected
from vidette_frame_worker.ocr import ChunkMemory, Seat
from vidette_frame_worker.ocr.likeness import Line
from vidette_frame_worker.ocr.memory import Reading

BOX = (0, 0, 8, 0, 8, 8, 0, 8)
BLANK = np.zeros((8, 8, 3), np.uint8)
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Frame:
    """`picture` None: none was decoded. `fails`: the request by that number is refused, however often it is made."""

    picture: int | None
    strips: tuple[int, ...]
    fails: str | None
    delays: tuple[float, float]


@dataclass(frozen=True)
class Found:
    place: int
    readings: list[Reading]
    counts: TextCounts


frames = st.builds(
    Frame,
    picture=st.none() | st.integers(0, 1),
    strips=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    fails=st.sampled_from([None, None, None, "boxes", "strips"]),
    delays=st.tuples(*[st.sampled_from([0.0, 0.0, 0.001, 0.003])] * 2),
)


def analyse(number: int, frame: Frame, seat: Seat) -> Found | None:
    """As a worker does: two tries, then the frame has failed. What is found tells by which frame it was found."""

    def find() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        time.sleep(frame.delays[0])
        if frame.fails == "boxes":
            raise Rejected("no boxes")
        return np.full((1, 4, 2), number, np.float32)

    def read(indices: Sequence[int]) -> Iterator[tuple[int, Reading]]:
        for turn, index in enumerate(indices):
            time.sleep(frame.delays[1])
            if frame.fails == "strips" and turn == 1:
                raise Rejected("not the second strip")
            yield index, (f"{frame.strips[index]} read by {number}", 1.0)

    with seat:
        if frame.picture is None:
            return None
        for last in (False, True):
            try:
                place = int(seat.boxes(np.full((8, 8, 3), 100 * frame.picture, np.uint8), find)[0, 0, 0])
                readings = seat.readings([Line(BLANK, BOX, strip) for strip in frame.strips], read)
                return Found(place, readings, seat.counts)
            except Rejected:
                if last:
                    return None
    return None


@given(chunk=st.lists(frames, min_size=1, max_size=6), order=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_interleaving_finds_what_one_frame_after_the_other_finds(chunk: list[Frame], order: object) -> None:
    alone = ChunkMemory()
    expected = [analyse(number, frame, alone.seat()) for number, frame in enumerate(chunk)]

    memory = ChunkMemory()
    seats = [memory.seat() for _ in chunk]
    numbers = list(range(len(chunk)))
    order.shuffle(numbers)  # type: ignore[attr-defined]  # a random.Random, which Hypothesis does not say
    start = threading.Barrier(len(chunk))

    def run(number: int) -> Found | None:
        start.wait(20)
        return analyse(number, chunk[number], seats[number])

    with ThreadPoolExecutor(len(chunk)) as pool:
        running = {number: pool.submit(run, number) for number in numbers}
        assert [running[number].result(30) for number in range(len(chunk))] == expected


@given(chunk=st.lists(frames, min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_every_line_of_a_chunk_without_trouble_is_read_once_by_the_first_frame_that_shows_it(
    chunk: list[Frame],
) -> None:
    memory, known, at = ChunkMemory(), dict[int, int](), None
    for number, frame in enumerate(chunk):
        frame = Frame(frame.picture, frame.strips, None, (0, 0))
        found = analyse(number, frame, memory.seat())
        if frame.picture is None:
            assert found is None
            continue
        at = at if at is not None and at[0] == frame.picture else (frame.picture, number)
        new = [strip for strip in frame.strips if strip not in known]
        texts = [f"{strip} read by {known.get(strip, number)}" for strip in frame.strips]
        known |= dict.fromkeys(new, number)
        counts = TextCounts(len(new), len(frame.strips) - len(new))
        assert found == Found(at[1], [(text, 1.0) for text in texts], counts)
