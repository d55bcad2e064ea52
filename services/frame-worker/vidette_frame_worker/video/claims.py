"""What a file's headers claim, measured before FFmpeg believes it.

FFmpeg makes room for every sample that an index claims to have, whether the file could hold it or not: 5 GB for a file of
5 KB (measured, FFmpeg 8.1). So the claims are held against the limit on frames first, in constant memory.

Sound is hidden from the demuxer: it may rightly have more samples than any video has frames, and nobody listens to it.

Sources: ISO/IEC 14496-12 §8.3 (tracks), §8.4.3 (handler), §8.5.2 and §12.1.3 (sample entries), §8.7.3 (sample sizes), §8.8
(fragments); Microsoft, AVI RIFF File Reference (AVIMAINHEADER). Boxes whose sizes lie are read as FFmpeg reads them: a box ends
where its parent does, and a size of 0 reaches to there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vidette_frame_worker.video.boxes import Box, boxes
from vidette_frame_worker.video.byte_source import ByteSource, read_whole
from vidette_frame_worker.video.facts import Limits, invalid_video

MAX_BOXES = 100_000
"""Boxes looked at in one file. Real indices have about thirty for each track, fragments about eight."""
MAX_DEPTH = 12
SMALLEST_EDIT = 12
"""Bytes of one in an edit list."""
_PARENTS = frozenset(
    {
        b"moov",
        b"moof",
        b"iprp",
        b"trak",
        b"mdia",
        b"minf",
        b"stbl",
        b"traf",
        b"udta",
        b"edts",
        b"mvex",
        b"meta",
        b"wave",
        b"dinf",
    }
    | {b"tref", b"sinf", b"schi", b"ilst"}
)
"""FFmpeg looks for any box in any of these, and in the file itself."""
_MOOV_IN_DISGUISE = frozenset({b"free", b"hoov"})
"""FFmpeg takes these for an index too, when they begin as one does: some programs hide an index so while they write."""
_SOUND = b"soun"


@dataclass(frozen=True, slots=True)
class Claims:
    """`frames`: the most samples that a track which is not hidden claims, or that all fragments together do.

    `picture_size` is the declared width and height of the last video track, for saying why no picture came of it: FFmpeg
    forgets a size that it does not take. `hidden` are the ranges [start, end) of the bytes without which the sound tracks
    are boxes of no known type.
    """

    frames: int = 0
    picture_size: tuple[int, int] = (0, 0)
    hidden: tuple[tuple[int, int], ...] = ()


def avi_claims(source: ByteSource) -> Claims:
    """From the main header, which comes first. FFmpeg believes an AVI's index only as far as the file goes. Raises PortError."""
    head = read_whole(source, 0, 72)
    if len(head) < 72 or head[12:16] != b"LIST" or head[20:28] != b"hdrlavih":
        return Claims()
    return Claims(picture_size=struct.unpack_from("<II", head, 64))


class ClaimReader:
    """For MP4 and QuickTime: is shown the boxes of a file's top level in their order; `claims` is what they amount to.

    Tracks are counted here, before any is made, and again by the one who opens the file.
    """

    def __init__(self, source: ByteSource, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._boxes = 0
        self._fragmented = 0
        self._most = 0
        self._picture_size = (0, 0)
        self._is_video = False
        self._hidden: list[tuple[int, int]] = []
        self._silenced: set[int] = set()
        self._pictured: set[int] = set()
        self._looked = 0
        self._tracks = 0
        self._edits = 0
        self._has_index = False

    @property
    def claims(self) -> Claims:
        return Claims(max(self._most, self._fragmented), self._picture_size, tuple(self._hidden))

    def check_seen(self, most: int) -> None:
        """Raises VideoError when the index comes behind the first `most` boxes, which are all that was shown."""
        if self._looked >= most and not self._has_index:
            raise invalid_video("The video's index comes behind thousands of other parts. Export the video again.")

    def look(self, box: Box) -> None:
        """Raises VideoError (too_long, invalid_video) and PortError."""
        self._looked += 1
        self._has_index |= box.kind == b"moov" or self._is_disguised(box)
        self._walk(box, 0)
        self._limits.check_length(self.claims.frames, None)
        if self._edits * self._most > self._limits.max_frames:
            raise invalid_video(
                "The video's edit list shows parts of it again and again. Export the video again and submit it."
            )

    def _is_disguised(self, box: Box) -> bool:
        return box.kind in _MOOV_IN_DISGUISE and read_whole(self._source, box.payload + 4, 4) in {b"mvhd", b"cmov"}

    def _walk(self, box: Box, depth: int) -> None:
        if box.kind == b"trak":
            self._tracks += 1
            self._limits.check_tracks(self._tracks)
        if box.kind == b"trak" and self._is_sound(box):
            self._hidden.append((box.start + 4, box.start + 8))
        elif box.kind == b"traf" and self._is_silenced(box):
            return
        elif box.kind in {b"stsz", b"stz2"}:
            self._most = max(self._most, self._u32(box.payload + 8))
        elif box.kind == b"elst":
            # Each may show the whole track again. One may be empty: it says that the track begins late.
            listed = min(self._u32(box.payload + 4), (box.end - box.payload) // SMALLEST_EDIT)
            self._edits = max(self._edits, listed - 1)
        elif box.kind == b"stsd" and self._is_video:
            size = self._u32(box.payload + 8 + 32)  # of the first entry, behind the table's head
            self._picture_size = (size >> 16, size & 0xFFFF)
        elif box.kind == b"trun":
            self._fragmented += self._u32(box.payload + 4)
        elif box.kind == b"cmov":
            raise invalid_video("The video's index is compressed, which is not supported. Export the video again.")
        elif box.kind in _PARENTS or self._is_disguised(box):
            if depth == MAX_DEPTH:
                raise invalid_video("The video's index is nested too deeply. Export the video again and submit it.")
            for child in self._children(box):
                self._walk(child, depth + 1)

    def _is_sound(self, track: Box) -> bool:
        """Only where nothing in the track says otherwise. What fragments say of such a track is not counted then."""
        parts = list(self._children(track))
        media = [part for box in parts if box.kind == b"mdia" for part in self._children(box)]
        handlers = {read_whole(self._source, part.payload + 8, 4) for part in media if part.kind == b"hdlr"}
        self._is_video = b"vide" in handlers
        is_sound = handlers == {_SOUND}
        for box in parts:
            if box.kind == b"tkhd":
                is_long = read_whole(self._source, box.payload, 1) == b"\x01"
                known = self._silenced if is_sound else self._pictured
                known.add(self._u32(box.payload + (20 if is_long else 12)))
        return is_sound

    def _is_silenced(self, fragment: Box) -> bool:
        headers = [box for box in self._children(fragment) if box.kind == b"tfhd"]
        # A sound track may have the number of a video track too: then the fragment counts.
        silent = self._silenced - self._pictured
        return bool(headers) and all(self._u32(box.payload + 4) in silent for box in headers)

    def _children(self, parent: Box) -> Iterator[Box]:
        """Clamped to their parent, as FFmpeg does."""
        end = min(parent.end, self._source.size)
        start = parent.payload
        if parent.kind == b"meta" and self._u32(start) == 0:
            start += 4  # ISO has a version there, QuickTime has not
        for box in boxes(self._source, start, end):
            self._boxes += 1
            if self._boxes > MAX_BOXES:
                raise invalid_video("The video's index has too many parts. Export the video again and submit it.")
            yield box._replace(end=min(box.end, end))

    def _u32(self, position: int) -> int:
        return int.from_bytes(read_whole(self._source, position, 4), "big")
