"""Clips whose container lists packets that are not one frame each, or at times when they are not shown.

All of them are found in the wild: AVI files of the DivX years put into MP4, broadcasts cut by simple tools, H.264 put into MP4
by programs that know no composition offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from tests.support.clips import KINDS, ClipKind, write_clip
from tests.support.field_pictures import configuration, fields
from tests.support.mp4_surgery import boxes_named, resized

FPS = 25
_VOP = b"\x00\x00\x01\xb6"
_PACKED = b"\x00\x00\x01\xb2DivX503b1393p"
"""The user data by which a decoder knows a packed bitstream."""
_NOT_CODED = _VOP + bytes([0b01_0_1_0000, 0b0_1_0_01111])
"""A P-VOP at time 0 of 25 (5 bits), between two markers, with vop_coded 0, then stuffing."""
_AVC_PARENTS = (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")


@dataclass(frozen=True, slots=True)
class Shown:
    """Numbers and times in milliseconds of what a player shows, in its order."""

    numbers: list[int]
    times_ms: list[float]


@dataclass(frozen=True, slots=True)
class _Packet:
    data: bytes
    is_key: bool


def packed(path: Path, frames: int) -> Shown:
    """Two pictures in one packet, and then a placeholder: a P picture and the B picture that is shown before it."""
    packets: list[_Packet] = []
    for packet in _packets_of(path, _mpeg4(b_frames=1), frames):
        if _coding_type(packet) == 2:
            before = packets.pop()
            packets += [_Packet(before.data + packet.data, before.is_key), _Packet(_NOT_CODED, False)]
        else:
            packets.append(packet)
    packets[0] = _Packet(_PACKED + packets[0].data, True)
    _write(path, packets)
    return _steady(range(frames))


def not_coded(path: Path, frames: int) -> Shown:
    """Now and then a packet says that the last picture stays."""
    packets: list[_Packet] = []
    places: list[int] = []
    for number, packet in enumerate(_packets_of(path, _mpeg4(b_frames=0), frames)):
        places.append(len(packets))
        packets += [packet] + [_Packet(_NOT_CODED, False)] * (number % 7 == 3) * 2
    _write(path, packets)
    return Shown(list(range(frames)), [1000.0 * place / FPS for place in places])


def not_coded_at_the_end(path: Path, frames: int) -> Shown:
    """The last packet says that the picture before it stays, while the decoder still holds that back."""
    packets = [*_packets_of(path, _mpeg4(b_frames=1), frames), _Packet(_NOT_CODED, False)]
    _write(path, packets)
    return _steady(range(frames))


def with_gaps(path: Path, frames: int) -> Shown:
    """Only for AVI: frames that the camera dropped are told by chunks without a byte."""
    places = [number + 3 * (number // 10) for number in range(frames)]
    _write(path, _packets_of(path, _mpeg4(b_frames=0), frames), places)
    return Shown(list(range(frames)), [1000.0 * place / FPS for place in places])


def without_offsets(path: Path, frames: int) -> Shown:
    """B-frames, whose packets have the times at which they are decoded."""
    _write(path, _packets_of(path, KINDS["mp4_bframes"], frames))
    return _steady(range(frames))


def fields_apart(path: Path, frames: int) -> Shown:
    """The two fields of each frame are packets of their own."""
    packets = [_Packet(field, place == 0) for number in range(frames) for place, field in enumerate(fields(number))]
    write_clip(path, "mp4_bframes", 3)
    _write(path, packets)
    _set_configuration(path)
    return Shown(list(range(frames)), [2000.0 * number / FPS for number in range(frames)])


def fields_together(path: Path, frames: int) -> Shown:
    """The two fields of each frame are one packet, as the standard has it: the control."""
    write_clip(path, "mp4_bframes", 3)
    _write(path, [_Packet(b"".join(fields(number)), True) for number in range(frames)])
    _set_configuration(path)
    return _steady(range(frames))


UNTRUE_MP4: dict[str, Callable[[Path, int], Shown]] = {
    "packed": packed,
    "not_coded": not_coded,
    "not_coded_at_the_end": not_coded_at_the_end,
    "without_offsets": without_offsets,
    "fields_apart": fields_apart,
}
UNTRUE_AVI: dict[str, Callable[[Path, int], Shown]] = {
    "packed": packed,
    "not_coded": not_coded,
    "not_coded_at_the_end": not_coded_at_the_end,
    "with_gaps": with_gaps,
}


def _steady(numbers: Sequence[int]) -> Shown:
    return Shown(list(numbers), [1000.0 * place / FPS for place in range(len(numbers))])


def _mpeg4(b_frames: int) -> ClipKind:
    return ClipKind(codec="mpeg4", ffmpeg={"g": "12", "bf": str(b_frames), "qmin": "3", "qmax": "5"})


def _coding_type(packet: _Packet) -> int:
    """0, 1 or 2 for an I, a P or a B picture."""
    return packet.data[packet.data.index(_VOP) + len(_VOP)] >> 6


def _packets_of(path: Path, kind: ClipKind, frames: int) -> list[_Packet]:
    """Of a sound MP4, which is written beside `path` for its headers."""
    write_clip(path.with_suffix(".template"), kind, frames)
    with av.open(str(path.with_suffix(".template"))) as container:
        return [_Packet(bytes(each), each.is_keyframe) for each in container.demux(video=0) if each.size]


def _write(path: Path, packets: Sequence[_Packet], places: Sequence[int] | None = None) -> None:
    """One packet a frame time, or at `places`."""
    template = path.with_suffix(".template")
    if not template.exists():
        path.rename(template)
    with av.open(str(template)) as source, av.open(str(path), "w", format=path.suffix[1:]) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        assert isinstance(stream, VideoStream)
        stream.time_base = Fraction(1, FPS)
        for place, packet in zip(places or range(len(packets)), packets, strict=True):
            written = av.Packet(packet.data)
            written.pts = written.dts = place
            written.duration, written.time_base, written.is_keyframe = 1, Fraction(1, FPS), packet.is_key
            written.stream = stream
            container.mux(written)
    template.unlink()


def _set_configuration(path: Path) -> None:
    data, record = path.read_bytes(), configuration()
    box = struct.pack(">I", len(record) + 8) + b"avcC" + record
    path.write_bytes(resized(data, boxes_named(data, b"avcC")[0], box, _AVC_PARENTS))
