"""Files that a stranger may send: what is no video, what is half of one, and videos whose headers lie.

Each maker returns the whole file. The small ones are written out; the others are real clips of `clips.py`, damaged.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from tests.support.clips import write_clip
from tests.support.mp4_surgery import boxes_named, resized

FRAMES = 30
FTYP = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"


def clip(kind: str = "mp4_bframes", frames: int = FRAMES, *, fps: int = 25, audio: bool = False) -> bytearray:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        write_clip(path, kind, frames, fps=fps, audio=audio)
        return bytearray(path.read_bytes())


def empty() -> bytes:
    return b""


def pdf() -> bytes:
    return (
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\ntrailer\n<< /Root 1 0 R /Size 3 >>\n%%EOF\n"
    )


def png() -> bytes:
    return cv2.imencode(".png", np.full((64, 64, 3), 200, np.uint8))[1].tobytes()


def heic() -> bytes:
    """The boxes with which a telephone's picture begins (ISO/IEC 23008-12)."""
    meta = _box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + _box(b"pitm", bytes(4) + b"\x00\x01")
    return _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + _box(b"meta", bytes(4) + meta) + _box(b"mdat", bytes(500))


def playlist(url: str = "http://127.0.0.1:1/segment.ts") -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n".encode()


def concat_script(target: str = "/etc/hostname") -> bytes:
    return f"ffconcat version 1.0\nfile {target}\n".encode()


def file_type_only() -> bytes:
    return FTYP


def noise_behind_a_header() -> bytes:
    return FTYP + bytes(range(256)) * 4000


def index_without_pictures() -> bytes:
    """`ftyp` and `moov`, and no `mdat`."""
    data = clip()
    begin = data.index(b"mdat") - 4
    return bytes(data[:begin] + data[data.rindex(b"moov") - 4 :])


def cut_before_its_index() -> bytes:
    """An MP4 as cameras write it, its index at the end, cut in the middle."""
    data = clip()
    return bytes(data[: len(data) // 2])


def cut_behind_its_index() -> bytes:
    """An MP4 as for the web, its index at the front, cut in the middle."""
    return bytes(clip("mp4_truncated", 100))


def sound_only() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def index_larger_than_the_file() -> bytes:
    """`moov` and `stbl` say that they are longer than the file; all that they really hold is right."""
    data = clip()
    struct.pack_into(">I", data, boxes_named(data, b"moov")[-1], 2**31)
    struct.pack_into(">I", data, boxes_named(data, b"stbl")[-1], 2**30)
    return bytes(data)


def track_smaller_than_its_parts() -> bytes:
    data = clip()
    struct.pack_into(">I", data, boxes_named(data, b"trak")[-1], 16)
    return bytes(data)


def chunks_behind_the_end() -> bytes:
    data = clip()
    table = boxes_named(data, b"stco")[-1] + 12
    for number in range(_u32(data, table)):
        struct.pack_into(">I", data, table + 4 + 4 * number, 2**32 - 1)
    return bytes(data)


def samples_larger_than_the_file() -> bytes:
    data = clip()
    table = boxes_named(data, b"stsz")[-1] + 12
    for number in range(_u32(data, table + 4)):
        struct.pack_into(">I", data, table + 8 + 4 * number, 2**31 - 1)
    return bytes(data)


def more_samples_than_the_file_has_bytes(samples: int = 85_000_000) -> bytes:
    """All of one byte, in one chunk, one tick each. FFmpeg alone makes room for all of them: 5 GB (measured)."""
    data = clip()
    _claim_samples(data, samples)
    return bytes(data)


def more_sound_than_the_file_has_bytes(samples: int = 85_000_000) -> bytes:
    """A good video with a sound track that claims the same."""
    data = clip(audio=True)
    _claim_samples(data, samples, ticks=1000)
    return bytes(data)


def index_in_disguise() -> bytes:
    """FFmpeg takes a box `hoov` that begins as an index does for one."""
    return more_samples_than_the_file_has_bytes().replace(b"moov", b"hoov", 1)


def index_behind_thousands_of_boxes() -> bytes:
    lying = more_samples_than_the_file_has_bytes()
    behind_the_type = int.from_bytes(lying[:4], "big")
    return lying[:behind_the_type] + 4200 * (b"\0\0\0\x08skip") + lying[behind_the_type:]


def more_samples_in_a_fragment_than_the_file_has_bytes(samples: int = 80_000_000) -> bytes:
    data = clip("mp4_fragmented")
    offset_only = 0x000001
    struct.pack_into(">II", data, boxes_named(data, b"trun")[0] + 8, offset_only, samples)
    return bytes(data)


def huge_pictures_in_mp4(side: int = 100_000) -> bytes:
    """H.264 whose header (SPS) declares a square of `side`, and the sample entry the same, as far as its 16 bits go."""
    data = clip()
    entry = boxes_named(data, b"avc1")[-1]
    struct.pack_into(">HH", data, entry + 32, side & 0xFFFF, side & 0xFFFF)
    old = boxes_named(data, b"avcC")[-1]
    header = _sequence_header(side // 16)
    record = b"\x01" + header[1:4] + b"\xff\xe1" + struct.pack(">H", len(header)) + header + b"\x01\x00\x02\x68\xce"
    return resized(data, old, _box(b"avcC", record), (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"))


def huge_pictures_in_avi(side: int = 100_000) -> bytes:
    """Uncompressed pictures: the headers' word is all there is."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("rawvideo", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 16
        stream.pix_fmt = "bgr24"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(file.getvalue())
    struct.pack_into("<ii", data, data.index(b"strf") + 12, side, side)
    struct.pack_into("<II", data, data.index(b"avih") + 40, side, side)
    return bytes(data)


def million_frames_per_second() -> bytes:
    return bytes(clip(fps=1_000_000))


def _claim_samples(data: bytearray, samples: int, ticks: int = 1) -> None:
    """For the last track."""
    struct.pack_into(">II", data, boxes_named(data, b"stsz")[-1] + 12, 1, samples)
    struct.pack_into(">III", data, boxes_named(data, b"stsc")[-1] + 16, 1, samples, 1)
    struct.pack_into(">II", data, boxes_named(data, b"stts")[-1] + 16, samples, ticks)


def _sequence_header(blocks: int) -> bytes:
    """An H.264 sequence parameter set (ITU-T H.264 §7.3.2.1.1): baseline, pictures of `blocks` x `blocks` macroblocks."""
    bits = "".join([*map(_ue, (0, 0, 2, 1)), "0", _ue(blocks - 1), _ue(blocks - 1), "1", "1", "0", "0", "1"])
    bits += "0" * (-len(bits) % 8)
    return b"\x67\x42\xc0\x33" + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _ue(value: int) -> str:
    """Exponential Golomb code (ITU-T H.264 §9.1)."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _u32(data: Sequence[int] | bytearray, offset: int) -> int:
    return int.from_bytes(bytes(data[offset : offset + 4]), "big")
