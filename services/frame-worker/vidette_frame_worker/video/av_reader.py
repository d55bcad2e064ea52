"""The only module that knows PyAV: one open container, its demuxer forced, its decoder, and nothing else reachable.

The demuxer is told, never guessed, and may open nothing besides the file object it was given: no protocol is allowed, and
every request to open something else is refused. Parsers are off, so that packets are exactly what the container lists.

Packets are numbered (`tag`) in decode order, and the number travels through the decoder in place of the timestamp: decoders
carry timestamps along untouched, so every picture says which packet it came from, with or without times in the container.

Each call into FFmpeg that works on a stranger's bytes is a `Call`, so that one which does not end is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import NoReturn, Self, TypeAlias

import av
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vidette_core.domain.containers import Container
from vidette_frame_worker.video.byte_source import MediaFile
from vidette_frame_worker.video.calls import Call
from vidette_frame_worker.video.coded_pictures import CodedPictures, coded_pictures
from vidette_frame_worker.video.facts import Limits, RgbImage, invalid_video
from vidette_frame_worker.video.orientation import Orientation
from vidette_frame_worker.video.packet_table import PacketEntry

IO_BUFFER = 128 * 1024
"""Bytes per read of the demuxer. Large enough that a read costs little, small enough not to fetch past interleaved sound."""

_OPTIONS = {"fflags": "+noparse+nofillin-genpts", "protocol_whitelist": "none", "format_whitelist": "mov,avi"}
_MOV_OPTIONS = {"enable_drefs": "0", "use_absolute_path": "0", "ignore_editlist": "0", "advanced_editlist": "1"}

_PADDING = 2**20
"""Decoders pad pictures to whole blocks and count that as pixels, so their own limit is above ours: it only bounds memory,
and pictures are measured again once they are decoded."""

AvPacket: TypeAlias = "Packet[VideoStream]"  # quoted: PyAV's Packet is generic for type checkers only


class Undecodable(Exception):
    """The decoder refused a packet, or had an earlier one to complain about."""


class Picture:
    """One decoded picture, not yet converted."""

    def __init__(self, frame: VideoFrame, reformatter: VideoReformatter, call: Call) -> None:
        self._frame = frame
        self._reformatter = reformatter
        self._call = call
        self.tag = -1 if frame.pts is None else frame.pts

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self._frame.width, self._frame.height

    @property
    def orientation(self) -> Orientation:
        matrix = self._frame.side_data.get("DISPLAYMATRIX")
        return Orientation.from_display_matrix(bytes(matrix) if isinstance(matrix, Buffer) else None)

    def rgb(self) -> RgbImage:
        """[H, W, 3] as stored. Raises Undecodable where the pixel format cannot be converted."""
        try:
            with self._call:
                frame = self._reformatter.reformat(self._frame, format="rgb24")
        except (av.FFmpegError, ValueError) as error:
            raise Undecodable("its pixel format cannot be converted to RGB") from error
        return np.asarray(frame.to_ndarray(), np.uint8)


class AvReader:
    """Reads one video track. Whatever the byte source raised is raised from here as it was, never as an error of the video."""

    def __init__(self, file: MediaFile, container: Container, limits: Limits) -> None:
        """Raises VideoError (invalid_video) and PortError."""
        self._file = file
        self._call = Call(limits)
        self._reformatter = VideoReformatter()
        decoding = {"max_pixels": str(2 * limits.max_pixels + _PADDING)}
        options = _OPTIONS | decoding
        if container is Container.MOV:
            options |= _MOV_OPTIONS
        try:
            with self._call:
                self._container: InputContainer = av.open(
                    file, "r", format=container.value, options=options, buffer_size=IO_BUFFER, io_open=_refuse_to_open
                )
        except (av.FFmpegError, ValueError) as error:
            file.raise_failure()
            raise invalid_video(
                "The file's index cannot be read: it is damaged, or was cut off before the index at its end. "
                "Export the video again and submit it."
            ) from error
        file.raise_failure()
        self._stream = self._choose_stream()
        # What several threads make of damage differs from time to time (measured), and with it the results.
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.options = decoding

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def _choose_stream(self) -> VideoStream:
        chosen: VideoStream | None = None
        for stream in self._container.streams:
            picture = stream.disposition & av.stream.Disposition.attached_pic
            if chosen is None and isinstance(stream, VideoStream) and not picture:
                chosen = stream
            else:
                stream.discard = av.stream.Discard.all
        if chosen is None or chosen.codec_context is None:
            self._container.close()
            raise invalid_video(
                "The file holds no video track that can be decoded. Export it with a common codec, e.g. H.264."
            )
        return chosen

    @property
    def tracks(self) -> int:
        """Those that the demuxer found; it takes 1000."""
        return len(self._container.streams)

    @property
    def codec(self) -> str:
        return str(self._stream.codec_context.name)

    def coded_pictures(self) -> CodedPictures:
        """Tells which packets begin a picture of their own, by what the container says of the codec."""
        return coded_pictures(self.codec, bytes(self._stream.codec_context.extradata or b""))

    @property
    def time_base(self) -> Fraction:
        return self._stream.time_base or Fraction(1, 1000)

    @property
    def coded_size(self) -> tuple[int, int]:
        return self._stream.width, self._stream.height

    @property
    def listed_frames(self) -> int:
        """How many frames the container's own index claims; 0 where it says nothing."""
        return len(self._stream.index_entries) or self._stream.frames

    @property
    def listed_duration_ms(self) -> float | None:
        duration = self._stream.duration
        return None if duration is None else float(duration * self.time_base * 1000)

    @property
    def delay(self) -> int:
        """How many packets the decoder may hold back to bring pictures into order."""
        return self._stream.codec_context.reorder_depth

    def entries(self) -> Iterator[PacketEntry]:
        """The packets without decoding them. Raises VideoError and PortError."""
        for packet in self.packets():
            pts = packet.pts if packet.pts is not None else packet.dts
            if pts is None:
                raise invalid_video(
                    "The video's index gives no times for its frames. Export the video again and submit it."
                )
            dts = pts if packet.dts is None else packet.dts
            position = -1 if packet.pos is None else packet.pos
            yield PacketEntry(
                pts, dts, packet.duration or 0, position, packet.size, packet.is_keyframe, not packet.is_discard
            )

    def packets(self) -> Iterator[AvPacket]:
        """Packets that carry something, in decode order, until the end or until the demuxer gives up. Raises PortError.

        An empty packet would tell the decoder that the video has ended, so it is left out: it holds no picture of its own.
        """
        demuxed = self._container.demux(self._stream)
        while True:
            try:
                with self._call:
                    packet = next(demuxed, None)
            except av.FFmpegError:
                packet = None
            self._file.raise_failure()
            if packet is None:
                return
            if packet.size:
                yield packet

    def seek(self, pts: int) -> bool:
        """Go to a key frame at or before `pts`; False where the demuxer cannot."""
        try:
            with self._call:
                self._container.seek(pts, stream=self._stream)
        except av.FFmpegError:
            self._file.raise_failure()
            return False
        return True

    def decode(self, packet: AvPacket, tag: int) -> list[Picture]:
        """Pictures that became ready. Raises Undecodable."""
        packet.pts = packet.dts = tag
        try:
            with self._call:
                frames = packet.decode()
        except (av.FFmpegError, ValueError) as error:
            raise Undecodable("the decoder refused a packet") from error
        return [Picture(frame, self._reformatter, self._call) for frame in frames]

    def drain(self) -> list[Picture]:
        """The pictures that the decoder still holds. Raises Undecodable."""
        try:
            with self._call:
                frames = self._stream.decode(None)
        except EOFError:
            return []
        except (av.FFmpegError, ValueError) as error:
            raise Undecodable("the decoder failed at the end") from error
        return [Picture(frame, self._reformatter, self._call) for frame in frames]


def _refuse_to_open(*_request: object) -> NoReturn:
    raise PermissionError("a video may not open anything besides itself")
