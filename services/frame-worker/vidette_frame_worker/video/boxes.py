"""The boxes of an MP4 or QuickTime file, one level at a time (ISO/IEC 14496-12 §4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vidette_frame_worker.video.byte_source import ByteSource, read_whole


class Box(NamedTuple):
    """The payload is [payload, end). `end` is as declared, and may lie behind the parent's or the file's."""

    kind: bytes
    start: int
    payload: int
    end: int


def boxes(source: ByteSource, position: int, end: int) -> Iterator[Box]:
    """Those of [position, end), until one has an impossible size; size 0 reaches to `end`. Raises PortError."""
    while position + 8 <= min(end, source.size):
        header = read_whole(source, position, 16)
        size, kind = struct.unpack_from(">I4s", header)
        payload = position + 8
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
            payload = position + 16
        stop = end if size == 0 else position + size
        if stop < payload or stop >= 2**63:
            return
        yield Box(kind, position, payload, stop)
        position = stop
