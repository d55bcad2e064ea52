"""Reads what a container says about its video, before any work is done on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from vidette_core.domain.containers import Container
from vidette_frame_worker.video.av_reader import AvReader, Picture, Undecodable
from vidette_frame_worker.video.byte_source import ByteSource, ClippedSource, MediaFile, RememberedIndex
from vidette_frame_worker.video.claims import ClaimReader, Claims, avi_claims
from vidette_frame_worker.video.facts import Limits, VideoIndex, invalid_video
from vidette_frame_worker.video.layout import MAX_BOXES, Layout, read_layout
from vidette_frame_worker.video.orientation import Orientation
from vidette_frame_worker.video.packet_table import PacketEntry, PacketTable


@dataclass(frozen=True, slots=True, eq=False)
class IndexedVideo:
    """A byte source and all that is needed to decode from it. `table` is None where the container has no times (AVI)."""

    source: ByteSource
    container: Container
    limits: Limits
    layout: Layout
    claims: Claims
    table: PacketTable | None
    time_base: Fraction
    stored_size: tuple[int, int]
    orientation: Orientation
    index: VideoIndex

    def open(self) -> AvReader:
        """A new reader at the start. Raises VideoError and PortError."""
        file = MediaFile(self.source, self.claims.hidden)
        return AvReader(file, self.container, self.limits)

    @property
    def order(self) -> PacketTable | None:
        """The table where it gives each frame a time of its own, and with it its place among the others."""
        return self.table if self.table is not None and self.table.has_increasing_timestamps else None

    def milliseconds(self, time: int) -> float:
        """`time` in the stream's time base."""
        return round(float(time * self.time_base * 1000), 3)


def read_index(source: ByteSource, container: Container, limits: Limits) -> IndexedVideo:
    """Reads the index and decodes the first picture. Raises VideoError and PortError."""
    claim_reader = ClaimReader(source, limits)
    layout = read_layout(source, container, claim_reader.look)
    claim_reader.check_seen(MAX_BOXES)
    claims = claim_reader.claims if container is Container.MOV else avi_claims(source)
    if layout.end < source.size:
        source = ClippedSource(source, layout.end)
    if container is Container.MOV:
        source = RememberedIndex(source, layout.media)
    with AvReader(MediaFile(source, claims.hidden), container, limits) as reader:
        limits.check_tracks(reader.tracks)
        limits.check_frame(*reader.coded_size)
        frames, duration_ms = reader.listed_frames, reader.listed_duration_ms
        limits.check_length(frames, duration_ms)
        first = _first_picture(reader)
        if first is None:
            limits.check_frame(*claims.picture_size)  # may be why
            raise _no_picture()
        stored_size, orientation = first.size, first.orientation
        limits.check_frame(*stored_size)  # the header may have lied
        time_base, codec = reader.time_base, reader.codec
    # The pictures' bytes are blanked before the demuxer looks ahead: at the end of a cut file it would lose packets.
    blanks = sorted((*claims.hidden, *layout.media))
    table = _read_table(source, blanks, limits) if container is Container.MOV else None
    if table is not None:
        frames, duration_ms = table.readable, round(float(table.end_pts * time_base * 1000), 3)
        limits.check_length(frames, duration_ms)
        if frames == 0:
            raise _no_picture()
    width, height = orientation.size(*stored_size)
    index = VideoIndex(
        width=width,
        height=height,
        rotation=orientation.rotation,
        mirrored=orientation.mirrored,
        frame_count=frames,
        duration_ms=duration_ms,
        has_increasing_timestamps=table is not None and table.has_increasing_timestamps,
        is_exact=table is not None,
        is_truncated=_is_truncated(layout, table),
        codec=codec,
    )
    return IndexedVideo(source, container, limits, layout, claims, table, time_base, stored_size, orientation, index)


def _is_truncated(layout: Layout, table: PacketTable | None) -> bool:
    """A whole packet table says which bytes are missing. Without one (AVI, fragments) a box that is cut off says it."""
    if table is None or layout.is_fragmented:
        return layout.is_cut
    return table.is_truncated


def _first_picture(reader: AvReader) -> Picture | None:
    for tag, packet in enumerate(reader.packets()):
        with suppress(Undecodable):
            if pictures := reader.decode(packet, tag):
                return pictures[0]
    with suppress(Undecodable):
        if pictures := reader.drain():
            return pictures[0]
    return None


def _read_table(source: ByteSource, blanks: Sequence[tuple[int, int]], limits: Limits) -> PacketTable:
    """`blanks`: the pictures' bytes. Times and sizes come from the index, so a film of gigabytes costs a few megabytes."""
    with AvReader(MediaFile(source, blanks), Container.MOV, limits) as reader:
        return PacketTable.build(_bounded(reader, limits), source.size)


def _bounded(reader: AvReader, limits: Limits) -> Iterator[PacketEntry]:
    for count, entry in enumerate(reader.entries(), start=1):
        limits.check_length(count, None)
        yield entry


def _no_picture() -> Exception:
    return invalid_video("Not one frame of the video can be decoded. Export the video again and submit it.")
