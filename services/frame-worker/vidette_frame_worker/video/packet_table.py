"""The number of every frame, from the packets' timestamps: exact on variable rates, B-frames, open GOPs and edit lists.

A frame's index is the rank of its presentation time among the frames that are displayed; equal times keep decode order.
The *tag* of a packet is its place in decode order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


class PacketEntry(NamedTuple):
    """One packet as the container lists it. Times are in the stream's time base; `position` is -1 where unknown."""

    pts: int
    dts: int
    duration: int
    position: int
    size: int
    is_key: bool
    is_shown: bool


@dataclass(frozen=True, slots=True, eq=False)
class PacketTable:
    """Columns over tags. `rank` is a packet's frame index, -1 for one that is not displayed.

    `tag_of` and `needed_from` are columns over frames: a frame's packet, and the first one in decode order that it or any later
    frame needs.

    `readable` frames come before the first one whose bytes are missing from the file, in presentation order.
    """

    pts: Int64s
    dts: Int64s
    position: Int64s
    size: Int64s
    keys: Int64s
    rank: Int64s
    tag_of: Int64s
    needed_from: Int64s
    readable: int
    end_pts: int
    has_increasing_timestamps: bool

    @classmethod
    def build(cls, entries: Iterable[PacketEntry], file_size: int) -> Self:
        rows = np.fromiter((value for entry in entries for value in entry), np.int64).reshape(
            -1, len(PacketEntry._fields)
        )
        pts, dts, duration, position, size, is_key, is_shown = np.ascontiguousarray(rows.T)
        shown = np.flatnonzero(is_shown)
        tag_of = shown[np.argsort(pts[shown], kind="stable")]
        rank = np.full(len(pts), -1, np.int64)
        rank[tag_of] = np.arange(len(tag_of))
        missing = rank[(is_shown != 0) & (position >= 0) & (position + size > file_size)]
        readable = int(missing.min()) if missing.size else len(tag_of)
        times = pts[tag_of]
        return cls(
            pts=pts,
            dts=dts,
            position=position,
            size=size,
            keys=np.flatnonzero(is_key),
            rank=rank,
            tag_of=tag_of,
            needed_from=np.minimum.accumulate(tag_of[::-1])[::-1],
            readable=readable,
            end_pts=int((times + duration[tag_of])[:readable].max(initial=0)),
            has_increasing_timestamps=bool(np.all(np.diff(times) > 0)),
        )

    @property
    def is_truncated(self) -> bool:
        return self.readable < len(self.tag_of)

    def matches(self, tag: int, pts: int | None, position: int | None, size: int) -> bool:
        """Whether a demuxed packet is the one that the table lists as `tag`."""
        return (
            tag < len(self.pts) and self.pts[tag] == pts and self.position[tag] == position and self.size[tag] == size
        )

    def find(self, pts: int | None, position: int | None, size: int) -> int | None:
        """The tag of a demuxed packet; None if it is not listed."""
        for tag in np.flatnonzero((self.pts == pts) & (self.position == position) & (self.size == size)):
            return int(tag)
        return None

    def last_tag(self, end: int) -> int:
        """The last packet in decode order that a frame before `end` needs; -1 if there is none."""
        return int(self.tag_of[:end].max(initial=-1))

    def starts(self, first: int) -> list[int]:
        """Key frames to begin decoding at for the frames from `first` on, best first; the last resort is 0.

        The best is one key frame before the one that opens the group needed: in an open GOP the frames that are shown before
        a key frame refer to the group before it (measured: 1-2 % of the frames were wrong without).
        """
        if not self.has_increasing_timestamps or first <= 0 or first >= len(self.tag_of):
            return [0]
        before = int(np.searchsorted(self.keys, self.needed_from[first], side="right")) - 2
        return [int(self.keys[place]) for place in range(before, max(-1, before - 3), -1) if self.keys[place] > 0] + [0]

    @property
    def has_decode_order_only(self) -> bool:
        """Each frame is listed with the time at which it is decoded: where a decoder reorders, nobody wrote when it is shown."""
        return bool(np.array_equal(self.pts, self.dts))

    def time(self, rank: int) -> int:
        """When the frame is shown, in the stream's time base."""
        return int(self.pts[self.tag_of[rank]])
