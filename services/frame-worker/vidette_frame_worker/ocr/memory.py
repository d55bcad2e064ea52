"""What the frames of one chunk know of each other's text, so that what stands still is read once.

Two things are remembered: *where* text stands in a picture, for the frames that show that picture; and *what* a line says, for
the frames in which that line stands unchanged. `likeness` says what counts as unchanged, always against the picture in which
it was found out, so that small changes cannot add up unseen.

A chunk's bytes must follow from its frames alone, whatever the threads do. So frames look things up, and leave word of what
they are about to find out, strictly in their order: each has a seat, and two gates let seats through one after the other.
The finding out itself goes on at once. Whoever needs what an earlier frame is finding out waits for it; frames only ever wait
for earlier ones, and a frame that ends in whatever way gives up what it has not found out, so that nobody waits for ever.
Those who waited for what was given up find it out for themselves: trouble with one frame is never laid at another's door.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from vidette_core.domain.jobs import TextCounts
from vidette_frame_worker.ocr.canvas import Boxes, Picture
from vidette_frame_worker.ocr.likeness import Line, SeenLine, looks_the_same

MAX_LINES_KNOWN, MAX_BYTES_KNOWN = 1024, 64 * 2**20
"""Lines remembered in a chunk, and bytes of their pixels: bounds for what a hostile video can fill and make us compare. What is
new beyond them is read, and not remembered. A ticker adds one line of 200 KB with each frame."""
_POLL_S = 0.5
T = TypeVar("T")

Reading = tuple[str, float]
"""The text of a line and its confidence."""


@dataclass(slots=True)
class _Slot(Generic[T]):
    """What one frame finds out for itself and for later ones; without a value once it is done: it was given up."""

    done: bool = False
    value: T | None = None


@dataclass(frozen=True, slots=True)
class _Claim(Generic[T]):
    """A slot as one frame sees it: it finds out what belongs there, or waits for the frame that does."""

    slot: _Slot[T]
    mine: bool


class Gate:
    """Lets seats through one after the other; a seat that left without coming holds up nobody."""

    def __init__(self) -> None:
        self.next = 0
        self._left: set[int] = set()

    def leave(self, seat: int) -> None:
        if seat < self.next:
            return
        self._left.add(seat)
        while self.next in self._left:
            self._left.remove(self.next)
            self.next += 1


class ChunkMemory:
    """Shared by the frames of one chunk, which take their seats in frame order."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        """`check` is called during every wait, twice a second; it raises when waiting has no sense any more."""
        self._check = check
        self._news = threading.Condition()
        self._seats = 0
        self.pictures, self.lines = Gate(), Gate()
        self._picture: tuple[Picture, _Slot[Boxes]] | None = None
        self._known: list[tuple[SeenLine, _Slot[Reading]]] = []
        self._bytes = 0

    def seat(self) -> Seat:
        """The next frame's place. Not thread-safe: seats are given by one thread, in frame order."""
        self._seats += 1
        return Seat(self, self._seats - 1)

    @contextmanager
    def turn(self, gate: Gate, seat: int) -> Iterator[None]:
        """The seat's turn at one of the two gates. It ends even in an error: there is no second one."""
        self._wait_until(lambda: gate.next >= seat)
        try:
            yield
        finally:
            with self._news:
                gate.leave(seat)
                self._news.notify_all()

    def claim_picture(self, picture: Picture) -> _Claim[Boxes]:
        """Compared with the picture in which text was last looked for, so that a slow fade cannot creep past."""
        if self._picture and looks_the_same(self._picture[0], picture):
            return _Claim(self._picture[1], mine=False)
        self._picture = picture, _Slot()
        return _Claim(self._picture[1], mine=True)

    def claim_lines(self, lines: Sequence[Line]) -> list[_Claim[Reading]]:
        """The newest first, where several are known. Only what earlier frames know counts as known."""
        newest_first = self._known[::-1]
        found = [next((slot for seen, slot in newest_first if seen.is_still(line)), None) for line in lines]
        return [
            _Claim(slot, mine=False) if slot else self._claim_new(line) for line, slot in zip(lines, found, strict=True)
        ]

    def settle(self, slot: _Slot[T], value: T | None) -> None:
        """Write down what was found out; None gives it up."""
        with self._news:
            slot.value, slot.done = value, True
            self._news.notify_all()

    def wait(self, slot: _Slot[T]) -> T | None:
        """What the frame that owns the slot found out; None when it gave up."""
        self._wait_until(lambda: slot.done)
        return slot.value

    def leave(self, seat: int) -> None:
        """Let later seats through both gates, whether this one came or not."""
        with self._news:
            self.pictures.leave(seat)
            self.lines.leave(seat)
            self._news.notify_all()

    def _claim_new(self, line: Line) -> _Claim[Reading]:
        slot: _Slot[Reading] = _Slot()
        seen = line.remembered()
        if len(self._known) < MAX_LINES_KNOWN and self._bytes + seen.pixels.nbytes <= MAX_BYTES_KNOWN:
            self._known.append((seen, slot))
            self._bytes += seen.pixels.nbytes
        return _Claim(slot, mine=True)

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        with self._news:
            while not self._news.wait_for(is_so, _POLL_S):
                self._check()


class Seat:
    """One frame's view of the memory, for one thread. Kept over repeated tries at the frame; use as a context manager."""

    def __init__(self, memory: ChunkMemory, number: int) -> None:
        self._memory, self._number = memory, number
        self._place: _Claim[Boxes] | None = None
        self._boxes: Boxes | None = None
        self._claims: list[_Claim[Reading]] | None = None
        self.counts = TextCounts()
        """Of the lines that `readings` returned last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        place: list[_Claim[Boxes]] = [self._place] if self._place else []
        for claim in (*place, *(self._claims or ())):
            if claim.mine and not claim.slot.done:
                self._memory.settle(claim.slot, None)
        self._memory.leave(self._number)

    def boxes(self, picture: Picture, find: Callable[[], Boxes]) -> Boxes:
        """Where text stands in the picture UINT8 [H,W,3]: as in the earlier frame that shows it, or else as `find` says."""
        if self._place is None:
            with self._memory.turn(self._memory.pictures, self._number):
                self._place = self._memory.claim_picture(picture)
        if self._boxes is None and not self._place.mine:
            self._boxes = self._memory.wait(self._place.slot)
        if self._boxes is None:
            self._boxes = find()
            if self._place.mine:
                self._memory.settle(self._place.slot, self._boxes)
        return self._boxes

    def readings(
        self, lines: Sequence[Line], read: Callable[[Sequence[int]], Iterable[tuple[int, Reading]]]
    ) -> list[Reading]:
        """The readings of lines.

        `read` reads the lines of these indices, and yields index and reading as they come; what it yielded before it raised
        is not asked again at the next try.
        """
        if self._claims is None:
            with self._memory.turn(self._memory.lines, self._number):
                self._claims = self._memory.claim_lines(lines)
        slots = [claim.slot for claim in self._claims]
        for index, reading in read([index for index, claim in enumerate(self._claims) if self._is_due(claim)]):
            self._memory.settle(slots[index], reading)
        found = [self._memory.wait(slot) for slot in slots]
        given_up = [index for index, reading in enumerate(found) if reading is None]
        for index, reading in read(given_up):
            found[index] = reading
        fresh = sum(claim.mine for claim in self._claims) + len(given_up)
        self.counts = TextCounts(read=fresh, reused=len(slots) - fresh)
        return [reading for reading in found if reading is not None]

    @staticmethod
    def _is_due(claim: _Claim[Reading]) -> bool:
        return claim.mine and not claim.slot.done
