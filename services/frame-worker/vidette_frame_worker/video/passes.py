"""Decodes pictures in frame order: from anywhere where every frame's index is known, from the start where it is not.

One frame at a time, so that a frame reported as missing is missing, and what a decoder conceals is the same every time. MOV
family: the packet table gives each frame its index, until the packets show that it does not. AVI, and where times are equal or go
back: the order in which the decoder hands out pictures is that of frames.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress

from vidette_frame_worker.video.av_reader import AvPacket, AvReader, Picture, Undecodable
from vidette_frame_worker.video.coded_pictures import Holds
from vidette_frame_worker.video.facts import invalid_video
from vidette_frame_worker.video.indexing import IndexedVideo
from vidette_frame_worker.video.packet_table import PacketTable
from vidette_frame_worker.video.sequence import KnownOrder, OutputOrder, Placed

MAX_HELD_PICTURES = 8
MAX_HELD_BYTES = 256 * 2**20
"""What may be held while an earlier picture is awaited: as many pictures as fit, between one and MAX_HELD_PICTURES."""

Pictures = Generator[Placed[Picture], None, None]
"""In the order of showing, each index once."""


class IndexDisagrees(Exception):
    """A packet is not one frame, or frames are not shown when the table says so: only the decoder can count this video."""


class _CannotSeek(Exception):
    """The demuxer does not land where the packet table says there is a key frame."""


def pictures(video: IndexedVideo, order: PacketTable | None, first: int, end: int | None) -> Pictures:
    """Frames [first, end) by `order`; all of them as the decoder counts where that is None. Raises VideoError, PortError and
    IndexDisagrees."""
    return _in_output_order(video) if order is None else _in_known_order(video, order, first, end)


def _in_known_order(video: IndexedVideo, table: PacketTable, first: int, end: int | None) -> Pictures:
    end = table.readable if end is None else min(end, table.readable)
    width, height = video.stored_size
    patience = max(1, min(MAX_HELD_PICTURES, MAX_HELD_BYTES // (3 * width * height)))
    order: KnownOrder[Picture] = KnownOrder(first, end, patience)
    seek = True
    while not order.is_complete:
        order.forget_held()
        try:
            for index, picture in _decode_pass(video, table, first, order, seek=seek):
                yield Placed(index, table.time(index), picture)
        except _CannotSeek:
            seek = False


def _decode_pass(
    video: IndexedVideo, table: PacketTable, first: int, order: KnownOrder[Picture], *, seek: bool
) -> Iterator[tuple[int, Picture | None]]:
    """Decodes from `first` on, to the end. Raises _CannotSeek and IndexDisagrees."""
    with video.open() as reader:
        # A decoder that says of itself that it reorders, for times at which packets are decoded: they cannot both be right.
        latest, must_ascend = -1, table.has_decode_order_only and reader.delay > 0
        for batch in _batches(video, table, reader, first, order.end, seek=seek):
            for picture in batch:
                rank = int(table.rank[picture.tag]) if 0 <= picture.tag < len(table.rank) else -1
                if must_ascend and 0 <= rank < latest:
                    raise IndexDisagrees("the video's pictures are shown in another order than its times say")
                latest = max(latest, rank)
                yield from order.put(rank, picture)
                if order.is_starved:
                    yield from order.give_up()
    while not order.is_complete:
        yield from order.give_up()


def _batches(
    video: IndexedVideo, table: PacketTable, reader: AvReader, first: int, end: int, *, seek: bool
) -> Iterator[list[Picture]]:
    last_tag, coded = table.last_tag(end), reader.coded_pictures()
    for tag, packet in _numbered_packets(table, reader, first, seek=seek):
        if table.position[tag] + table.size[tag] <= video.source.size:
            if coded.look(bytes(packet)) is not Holds.ONE:
                raise IndexDisagrees("the video has a packet that is not one picture")
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
    are_decoding_times = video.table is None or video.table.has_decode_order_only
    order: OutputOrder[Picture] = OutputOrder(sorts_times=are_decoding_times)
    with video.open() as reader:
        coded, time = reader.coded_pictures(), -1
        for tag, packet in _all_packets(video, reader):
            time = packet.pts if packet.pts is not None else packet.dts if packet.dts is not None else time + 1
            if coded.look(bytes(packet)) is Holds.NONE:
                order.passed_by(tag)
            elif _is_shown(video.table, tag):
                order.sent(tag, time)
            with suppress(Undecodable):
                for picture in reader.decode(packet, tag):
                    if _is_shown(video.table, picture.tag):
                        yield from order.put(picture.tag, picture, reader.delay)
        with suppress(Undecodable):
            for picture in reader.drain():
                if _is_shown(video.table, picture.tag):
                    yield from order.put(picture.tag, picture, reader.delay)
        yield from order.finish()


def _all_packets(video: IndexedVideo, reader: AvReader) -> Iterator[tuple[int, AvPacket]]:
    """Packets with their tags, from the first on; what the end of a cut file goes through is left out."""
    if video.table is not None:
        for tag, packet in _numbered_packets(video.table, reader, 0, seek=False):
            if video.table.position[tag] + video.table.size[tag] <= video.source.size:
                yield tag, packet
        return
    for tag, packet in enumerate(reader.packets()):
        video.limits.check_length(tag + 1, None)
        if not (packet.is_corrupt and video.layout.is_cut):
            yield tag, packet


def _is_shown(table: PacketTable | None, tag: int) -> bool:
    """False for what an edit list leaves out."""
    return table is None or (0 <= tag < len(table.rank) and table.rank[tag] >= 0)
