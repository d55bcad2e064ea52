"""Small valid videos that cost a decoder, or whoever counts their tracks, far more than their size."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.stream import VideoStream

from tests.support.mp4_surgery import boxes_named, resized
from tests.support.rubbish import clip, more_samples_than_the_file_has_bytes

_PICTURE = 5
"""The type of a unit that holds a picture which needs no other (ITU-T H.264, table 7-1)."""


def one_frame_of_many_pictures(pictures: int = 24_000) -> bytes:
    """One MP4 frame whose bytes are `pictures` whole pictures, 41 bytes each: a decoder works on all of them to show one."""
    data = _one_grey_picture()
    start = boxes_named(data, b"mdat")[0]
    (size,) = struct.unpack_from(">I", data, start)
    unit = next(unit for unit in _units(data[start + 8 : start + size]) if unit[4] & 31 == _PICTURE)
    frame = unit * pictures
    changed = bytearray(resized(data, start, struct.pack(">I4s", 8 + len(frame), b"mdat") + frame, ()))
    struct.pack_into(">II", changed, boxes_named(changed, b"stsz")[0] + 12, len(frame), 1)
    struct.pack_into(">I", changed, boxes_named(changed, b"stco")[0] + 16, start + 8)
    return bytes(changed)


def _one_grey_picture() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"tune": "zerolatency", "crf": "51", "x264-params": "keyint=1:cabac=1", "threads": "1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 90, np.uint8), format="rgb24")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _units(sample: bytes) -> Iterator[bytes]:
    """Each with the four bytes of its length."""
    at = 0
    while at < len(sample):
        end = at + 4 + int.from_bytes(sample[at : at + 4], "big")
        yield sample[at:end]
        at = end


def tracks_in_mp4(tracks: int) -> bytes:
    """A good video whose track of pictures is followed by others, which are empty boxes."""
    data = clip(frames=5)
    start = boxes_named(data, b"moov")[-1]
    (size,) = struct.unpack_from(">I", data, start)
    more = (tracks - 1) * struct.pack(">I4s", 8, b"trak")
    grown = struct.pack(">I", size + len(more)) + data[start + 4 : start + size] + more
    return resized(data, start, grown, ())


def tracks_in_avi(tracks: int) -> bytes:
    """A good video whose list of streams is followed by others, which hold no sample."""
    data = clip("avi", frames=5)
    header = data.index(b"LIST")
    first = data.index(b"LIST", header + 4)
    (size,) = struct.unpack_from("<I", data, first + 4)
    more = (tracks - 1) * bytes(data[first : first + 8 + size])
    grown = data[: first + 8 + size] + more + data[first + 8 + size :]
    for place in (4, header + 4):
        struct.pack_into("<I", grown, place, struct.unpack_from("<I", grown, place)[0] + len(more))
    struct.pack_into("<I", grown, data.index(b"avih") + 8 + 24, tracks)
    return bytes(grown)


def index_elsewhere(kind: bytes, samples: int = 20_000_000) -> bytes:
    """An index that claims `samples` of them, called `kind` and put into a box of user data, where FFmpeg looks for one too."""
    data = more_samples_than_the_file_has_bytes(samples)
    start = boxes_named(data, b"moov")[-1]
    (size,) = struct.unpack_from(">I", data, start)
    return data[:start] + struct.pack(">I4sI4s", 8 + size, b"udta", size, kind) + data[start + 8 :]


def fragment_outside_its_box(samples: int = 20_000_000) -> bytes:
    """A list of samples that stands in the file itself, behind the box of its fragment. FFmpeg adds them to that fragment."""
    data = clip("mp4_fragmented")
    start = boxes_named(data, b"moof")[0]
    end = start + int.from_bytes(data[start : start + 4], "big")
    return bytes(data[:end] + struct.pack(">I4sIII", 20, b"trun", 1, samples, 0) + data[end:])


def edits_that_repeat(edits: int, samples: int = 10_000) -> bytes:
    """An edit list that shows all of a track again and again. FFmpeg makes an index of `edits` times its samples."""
    data = more_samples_than_the_file_has_bytes(samples)
    entry = struct.pack(">IiI", 40 * samples, 0, 0x10000)
    elst = struct.pack(">I4sII", 16 + edits * len(entry), b"elst", 0, edits) + edits * entry
    return resized(data, boxes_named(data, b"elst")[-1], elst, (b"moov", b"trak", b"edts"))
