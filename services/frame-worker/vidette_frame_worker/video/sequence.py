"""Puts decoded pictures in frame order and finds the frames that never came, without ever shifting an index."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Placed(Generic[Item]):
    """Frame `index`, shown at `time` (in the stream's time base); `item` is None where the frame does not decode."""

    index: int
    time: int
    item: Item | None


class KnownOrder(Generic[Item]):
    """For videos whose packet table gives every frame its index beforehand: frames [next, end), each handed out once.

    Decoders give pictures in presentation order, so a picture that is early proves that one is missing, except where the
    timestamps contradict the pictures' own order: hence up to `patience` early pictures are held.
    """

    def __init__(self, first: int, end: int, patience: int) -> None:
        self.next = first
        self.end = end
        self._patience = patience
        self._held: dict[int, Item] = {}

    @property
    def is_complete(self) -> bool:
        return self.next >= self.end

    @property
    def is_starved(self) -> bool:
        """More pictures are held than patience allows: the next frame will not come."""
        return len(self._held) > self._patience

    def put(self, index: int, item: Item) -> list[tuple[int, Item | None]]:
        """What can be handed out now that frame `index` was decoded. Frames outside the range and late ones are dropped."""
        if self.next <= index < self.end:
            self._held.setdefault(index, item)
        return self._ready()

    def give_up(self) -> list[tuple[int, Item | None]]:
        """Declare the frames before the first held one missing (None), or all the rest if none is held."""
        first_held = min(self._held, default=self.end)
        missing: list[tuple[int, Item | None]] = [(index, None) for index in range(self.next, first_held)]
        self.next = max(self.next, first_held)
        return missing + self._ready()

    def forget_held(self) -> None:
        """Before a second decoder begins at `next`."""
        self._held.clear()

    def _ready(self) -> list[tuple[int, Item | None]]:
        ready: list[tuple[int, Item | None]] = []
        while self.next in self._held:
            ready.append((self.next, self._held.pop(self.next)))
            self.next += 1
        return ready


class OutputOrder(Generic[Item]):
    """For videos whose frames only the decoder can count: the order in which it hands out pictures is the order of frames.

    Each packet that begins a picture is a frame. A decoder without delay answers every packet before it takes the next, so an
    unanswered packet is a missing frame at exactly its place. With delay (B-frames) a packet is missing when one was answered
    that was sent `window` later: every frame behind the window keeps its index, the place of the missing one within it is
    approximate.

    A frame is shown at its packet's time. With `sorts_times` those are times of decoding: then it is shown at the earliest that
    is not taken, whatever packet that came with.
    """

    def __init__(self, *, sorts_times: bool, window: int = 16) -> None:
        self.next = 0
        self._sorts_times = sorts_times
        self._window = window
        self._sent = 0
        self._waiting: deque[int] = deque()
        self._number: dict[int, int] = {}
        self._answered: set[int] = set()
        self._passed_by: deque[int] = deque(maxlen=window)
        self._times: list[int] = []
        self._time_of: dict[int, int] = {}
        self._time = 0

    def sent(self, tag: int, time: int) -> None:
        """The decoder got a packet that begins a picture."""
        self._waiting.append(tag)
        self._number[tag] = self._sent
        self._sent += 1
        if self._sorts_times:
            heappush(self._times, time)
        else:
            self._time_of[tag] = time

    def passed_by(self, tag: int) -> None:
        """The decoder got a packet that begins none. FFmpeg may hand out under its tag a picture that it still held."""
        self._passed_by.append(tag)

    def put(self, tag: int, item: Item, delay: int) -> list[Placed[Item]]:
        """`delay`: how many packets the decoder may hold back."""
        if tag in self._passed_by:
            tag = next((waiting for waiting in self._waiting if waiting not in self._answered), tag)
        self._answered.add(tag)
        out = self._missing_before(self._number.get(tag, 0) - (self._window if delay else 0))
        out.append(self._place(tag, item))
        return out

    def finish(self) -> list[Placed[Item]]:
        """The decoder is empty: whatever was not answered is missing."""
        return self._missing_before(self._sent)

    def _missing_before(self, number: int) -> list[Placed[Item]]:
        missing: list[Placed[Item]] = []
        while self._waiting and (self._waiting[0] in self._answered or self._number[self._waiting[0]] < number):
            waiting = self._waiting.popleft()
            del self._number[waiting]
            if waiting in self._answered:
                self._answered.discard(waiting)
            else:
                missing.append(self._place(waiting, None))
        return missing

    def _place(self, tag: int, item: Item | None) -> Placed[Item]:
        # A second picture of one packet has no time of its own.
        self._time = heappop(self._times) if self._times else self._time_of.pop(tag, self._time)
        self.next += 1
        return Placed(self.next - 1, self._time, item)
