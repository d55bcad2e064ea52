"""The top-level structure of a file: where the pictures lie, and whether the file ends before it should.

Sources: ISO/IEC 14496-12 §4.2 (boxes); Microsoft, AVI RIFF File Reference, and OpenDML 1.02 §3 (further RIFF chunks).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vidette_core.domain.containers import Container
from vidette_frame_worker.video.byte_source import ByteSource

MAX_BOXES = 4096
"""Top-level boxes looked at. A file of more is a stream of many fragments: the rest of it is simply read, not blanked."""

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


def read_layout(source: ByteSource, container: Container) -> Layout:
    """Raises PortError."""
    return _read_riff(source) if container is Container.AVI else _read_boxes(source)


def _read_boxes(source: ByteSource) -> Layout:
    media: list[tuple[int, int]] = []
    is_fragmented = is_cut = False
    position, usable = 0, source.size
    for _ in range(MAX_BOXES):
        header = source.read_at(position, 16) if position + 8 <= source.size else b""
        if len(header) < 8:
            break
        size, kind = struct.unpack_from(">I4s", header)
        payload = position + 8
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
            payload = position + 16
        end = source.size if size == 0 else position + size
        if end < payload or end >= 2**63:
            break
        if kind == b"mdat":
            media.append((payload, end))
        is_fragmented |= kind == b"moof"
        if end > source.size and kind in {b"mdat", b"moof", b"moov"}:
            is_cut = True
            usable = position if kind == b"moof" else usable
        position = end
    return Layout(usable, tuple(media), is_fragmented, is_cut)


def _read_riff(source: ByteSource) -> Layout:
    position = 0
    for _ in range(MAX_BOXES):
        header = source.read_at(position, 12) if position + 12 <= source.size else b""
        if len(header) < 12 or header[:4] != b"RIFF" or header[8:] not in (b"AVI ", b"AVIX"):
            break
        (size,) = struct.unpack_from("<I", header, 4)
        if size in _UNFINISHED_RIFF or position + 8 + size > source.size:
            return Layout(source.size, is_cut=True)
        position += 8 + size + size % 2
    return Layout(source.size)
