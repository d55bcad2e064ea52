"""The top-level structure of a file: where the pictures lie, and whether the file ends before it should.

Sources: ISO/IEC 14496-12 §4.2 (boxes); Microsoft, AVI RIFF File Reference, and OpenDML 1.02 §3 (further RIFF chunks).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from vidette_core.domain.containers import Container
from vidette_frame_worker.video.boxes import Box, boxes
from vidette_frame_worker.video.byte_source import ByteSource, read_whole

MAX_BOXES = 4096
"""Top-level boxes looked at. A file of more is a stream of many fragments: the rest of it is simply read, not blanked. What it
may claim there is bounded by the worker's limit on memory alone."""

_UNFINISHED_RIFF = (0, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Layout:
    """`media` are the ranges [start, end) of picture and sound data; they may reach behind the end of a cut file.

    `end` is where the demuxer should see the file end: before a box of timestamps (`moof`) that is cut off, since half of one
    makes it refuse the whole file.
    """

    end: int
    media: tuple[tuple[int, int], ...] = ()
    is_fragmented: bool = False
    is_cut: bool = False


def read_layout(source: ByteSource, container: Container, look: Callable[[Box], None] | None = None) -> Layout:
    """`look` is shown every top-level box in turn, and may raise. Raises PortError."""
    return _read_riff(source) if container is Container.AVI else _read_boxes(source, look or (lambda _: None))


def _read_boxes(source: ByteSource, look: Callable[[Box], None]) -> Layout:
    media: list[tuple[int, int]] = []
    is_fragmented = is_cut = False
    usable = source.size
    for box in islice(boxes(source, 0, source.size), MAX_BOXES):
        look(box)
        if box.kind == b"mdat":
            media.append((box.payload, box.end))
        is_fragmented |= box.kind == b"moof"
        if box.end > source.size and box.kind in {b"mdat", b"moof", b"moov"}:
            is_cut = True
            usable = box.start if box.kind == b"moof" else usable
    return Layout(usable, tuple(media), is_fragmented, is_cut)


def _read_riff(source: ByteSource) -> Layout:
    position = 0
    for _ in range(MAX_BOXES):
        header = read_whole(source, position, 12)
        if len(header) < 12 or header[:4] != b"RIFF" or header[8:] not in (b"AVI ", b"AVIX"):
            break
        (size,) = struct.unpack_from("<I", header, 4)
        if size in _UNFINISHED_RIFF or position + 8 + size > source.size:
            return Layout(source.size, is_cut=True)
        position += 8 + size + size % 2
    return Layout(source.size)
