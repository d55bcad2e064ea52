"""Decodes pictures in frame order: from anywhere where every frame's index is known, from the start where it is not.

One frame at a time, so that a frame reported as missing is missing, and what a decoder conceals is the same every time. MOV
family: the packet table gives each frame its index. AVI: the order in which the decoder hands out pictures is that of frames.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress

from vidette_frame_worker.video.av_reader import AvPacket, AvReader, Picture, Undecodable
from vidette_frame_worker.video.facts import invalid_video
from vidette_frame_worker.video.indexing import IndexedVideo
from vidette_frame_worker.video.packet_table import PacketTable
from vidette_frame_worker.video.sequence import KnownOrder, OutputOrder

MAX_HELD_PICTURES = 8
MAX_HELD_BYTES = 256 * 2**20
"""What may be held while an earlier picture is awaited: as many pictures as fit, between one and MAX_HELD_PICTURES."""

Pictures = Generator[tuple[int, Picture | None], None, None]
"""Frame indices with their pictures, ascending; None where the frame does not decode."""


class _CannotSeek(Exception):
    """The demuxer does not land where the packet table says there is a key frame."""


def pictures(video: IndexedVideo, first: int, end: int | None) -> Pictures:
    """Frames [first, end) or more (from 0 where only the decoder can count). Raises VideoError and PortError."""
    if video.table is None:
        return _in_output_order(video)
    return _in_known_order(video, video.table, first, end)


def _in_known_order(video: IndexedVideo, table: PacketTable, first: int, end: int | None) -> Pictures:
    end = table.readable if end is None else min(end, table.readable)
    width, height = video.stored_size
    patience = max(1, min(MAX_HELD_PICTURES, MAX_HELD_BYTES // (3 * width * height)))
    order: KnownOrder[Picture] = KnownOrder(first, end, patience)
    seek = True
    while not order.is_complete:
        order.forget_held()
        try:
            yield from _decode_pass(video, table, first, order, seek=seek)
        except _CannotSeek:
            seek = False


def _decode_pass(
    video: IndexedVideo, table: PacketTable, first: int, order: KnownOrder[Picture], *, seek: bool
) -> Pictures:
    """Decodes from `first` on, to the end. Raises _CannotSeek."""
    with video.open() as reader:
        for batch in _batches(video, table, reader, first, order.end, seek=seek):
            for picture in batch:
                if 0 <= picture.tag < len(table.rank):
                    yield from order.put(int(table.rank[picture.tag]), picture)
                if order.is_starved:
                    yield from order.give_up()
    while not order.is_complete:
        yield from order.give_up()


def _batches(
    video: IndexedVideo, table: PacketTable, reader: AvReader, first: int, end: int, *, seek: bool
) -> Iterator[list[Picture]]:
    last_tag = table.last_tag(end)
    for tag, packet in _numbered_packets(table, reader, first, seek=seek):
        if table.position[tag] + table.size[tag] <= video.source.size:
            with suppress(Undecodable):
                yield reader.decode(packet, tag)
        if tag >= last_tag:
            break
    with suppress(Undecodable):
        yield reader.drain()


def _numbered_packets(
    table: PacketTable, reader: AvReader, first: int, *, seek: bool
) -> Iterator[tuple[int, AvPacket]]:
    """Packets with their tags, beginning early enough for frame `first`; each is compared with the table."""
    tag, packets = _seek(table, reader, first) if seek else (0, reader.packets())
    for packet in packets:
        if not table.matches(tag, packet.pts, packet.pos, packet.size):
            if table.is_truncated:
                return  # the packet that the cut goes through, or what the demuxer makes of the rest
            if seek:
                raise _CannotSeek
            raise invalid_video("The video's index contradicts its contents. Export the video again and submit it.")
        yield tag, packet
        tag += 1


def _seek(table: PacketTable, reader: AvReader, first: int) -> tuple[int, Iterator[AvPacket]]:
    """The tag of the next packet, and the packets. The demuxer may land elsewhere than asked: what counts is where it is."""
    starts = table.starts(first)
    if starts[0] == 0:
        return 0, reader.packets()
    for start in starts:
        if start and reader.seek(int(table.pts[start])):
            packets = reader.packets()
            landed = next(packets, None)
            tag = None if landed is None else table.find(landed.pts, landed.pos, landed.size)
            if landed is not None and tag is not None and tag <= starts[0]:
                return tag, _with_first(landed, packets)
    raise _CannotSeek


def _with_first(packet: AvPacket, packets: Iterator[AvPacket]) -> Iterator[AvPacket]:
    yield packet
    yield from packets


def _in_output_order(video: IndexedVideo) -> Pictures:
    order: OutputOrder[Picture] = OutputOrder()
    with video.open() as reader:
        for tag, packet in enumerate(reader.packets()):
            video.limits.check_length(tag + 1, None)
            if packet.is_corrupt and video.layout.is_cut:
                continue  # the last packet of a cut file, of which only a part is there
            order.sent(tag)
            try:
                batch = reader.decode(packet, tag)
            except Undecodable:
                continue
            for picture in batch:
                yield from order.put(picture.tag, picture, reader.delay)
        try:
            batch = reader.drain()
        except Undecodable:
            batch = []
        for picture in batch:
            yield from order.put(picture.tag, picture, reader.delay)
        yield from order.finish()
