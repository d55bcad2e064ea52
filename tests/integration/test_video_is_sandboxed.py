"""A file never makes the demuxer open another file or a URL, whatever it is and whatever it is called.

Each trap has a positive control: opened the careless way, the very same file does reach out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.support.clips import write_clip
from tests.support.limits import LIMITS
from tests.support.range_server import RangeServer, range_server
from vidette_core.domain.containers import SNIFF_BYTES, Container, sniff
from vidette_core.domain.errors import ErrorCode
from vidette_frame_worker.video import LocalFile, Video, VideoError


@pytest.fixture
def trap() -> Iterator[RangeServer]:
    """Whoever opens the trap's URL leaves a request behind."""
    with range_server() as server:
        yield server


def careless_open(path: Path, *, format: str | None = None, **options: str) -> int:
    """As a program does that trusts the file. Returns how many frames it got, from wherever."""
    try:
        with av.open(str(path), format=format, options=options) as container:
            return len(list(container.decode(video=0)))
    except (av.FFmpegError, IndexError):
        return 0


def careful_open(path: Path, container: Container) -> None:
    with pytest.raises(VideoError) as caught:
        Video(LocalFile(path), container, LIMITS)
    assert caught.value.problem.code is ErrorCode.INVALID_VIDEO


def test_a_concat_script_named_avi_opens_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    write_clip(secret, "mp4_bframes", 10)
    script = tmp_path / "harmless.avi"
    script.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert careless_open(script) == 10, "the control: a guessing open does play the secret file"
    assert sniff(script.read_bytes()[:SNIFF_BYTES]) is None
    for forced in Container:
        careful_open(script, forced)


@pytest.mark.parametrize("name", ["playlist.m3u8", "harmless.avi", "harmless.mp4"])
def test_a_playlist_opens_no_url(tmp_path: Path, trap: RangeServer, name: str) -> None:
    path = tmp_path / name
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:10", "#EXTINF:10,", trap.url("segment.ts"), "#EXT-X-ENDLIST", ""]
    path.write_text("\n".join(lines))
    assert sniff(path.read_bytes()[:SNIFF_BYTES]) is None
    for forced in Container:
        careful_open(path, forced)
    assert trap.requests == []
    guessed = None if name.endswith("m3u8") else "hls"  # by its name, FFmpeg takes only the first for a playlist
    careless_open(
        path, format=guessed, protocol_whitelist="file,http,tcp", allowed_extensions="ALL", extension_picky="0"
    )
    assert trap.requests != [], "the control: opened as a playlist it does fetch the URL"


def test_a_track_whose_pictures_lie_in_another_file_does_not_get_them(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "elsewhere.mov"
    write_clip(secret, "mov", 10)
    path.write_bytes(with_external_data(secret.read_bytes(), str(secret).encode()))
    assert sniff(path.read_bytes()[:SNIFF_BYTES]) is Container.MOV
    assert careless_open(path, enable_drefs="1", use_absolute_path="1") == 10, "the control: the secret file is played"
    careful_open(path, Container.MOV)


def with_external_data(data: bytes, target: bytes) -> bytes:
    """The QuickTime file `data` (index at the end) without its pictures, its data reference an alias to the path `target`.

    The alias record's layout: Apple, Inside Macintosh: Files, "Alias Records"; item 2 of its list is the absolute path.
    """
    record = bytes(10) + b"\x01v" + bytes(26) + bytes(12) + b"\x01f" + bytes(62) + bytes(16)
    record += struct.pack(">hh", -1, -1) + bytes(16)
    record += struct.pack(">hH", 2, len(target)) + target + bytes(len(target) % 2) + struct.pack(">hH", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    moov = data.rindex(b"moov") - 4
    assert data.index(b"mdat") < moov, "the index lies behind the pictures, so growing it moves none of them"
    dref = data.index(b"dref", data.index(b"vmhd"))
    first = dref + 12
    (old,) = struct.unpack_from(">I", data, first)
    blank = data[: data.index(b"mdat") + 4].ljust(moov, b"\0") + data[moov:first]
    grown = bytearray(blank + entry + data[first + old :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = (dref if parent == b"dref" else data.rindex(parent, 0, dref)) - 4
        (size,) = struct.unpack_from(">I", grown, place)
        struct.pack_into(">I", grown, place, size + len(entry) - old)
    return bytes(grown)
