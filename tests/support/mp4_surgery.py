"""Changes to finished video files that no encoder makes: edit lists, a lost index, and packets that do not decode."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path

import av


def set_edit_list(path: Path, edits: Sequence[tuple[Fraction, Fraction | None]]) -> None:
    """Make a player show these parts one after the other: how many seconds, and from which second on (None: a pause).

    The movie's and the track's time scales are read from `mvhd` and `mdhd`; the offset that the muxer wrote for B-frames stays
    in force (ISO/IEC 14496-12, 8.6.6).
    """
    data = path.read_bytes()
    movie_scale = _u32(data, _payload(data, b"mvhd") + 12)
    media_scale = _u32(data, _payload(data, b"mdhd") + 12)
    there = _payload(data, b"elst")
    if data[there] != 0 or _u32(data, there + 4) != 1:
        raise ValueError("expected one edit of version 0")
    offset = _u32(data, there + 12)
    entries = b"".join(
        struct.pack(
            ">IiI", int(seconds * movie_scale), -1 if begin is None else offset + int(begin * media_scale), 1 << 16
        )
        for seconds, begin in edits
    )
    box = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    path.write_bytes(resized(data, boxes_named(data, b"elst")[0], box, [b"edts", b"trak", b"moov"]))


def cut_off_avi_index(path: Path) -> None:
    """As a camera leaves an AVI whose writing was stopped in order, but without its `idx1` chunk."""
    data = path.read_bytes()
    data = data[: data.rindex(b"idx1")]
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def spoil_packets(path: Path, container: str, doomed: Collection[int]) -> dict[int, int]:
    """Overwrite the packets with these numbers (decode order) so that they do not decode. Returns number -> bytes spoilt."""
    with av.open(str(path), format=container) as source:
        found = [(p.pos, p.size) for p in source.demux(video=0) if p.size and p.pos is not None]
    data = bytearray(path.read_bytes())
    for number in doomed:
        position, size = found[number]
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    return {number: found[number][1] for number in doomed}


def boxes_named(data: bytes | bytearray, kind: bytes) -> list[int]:
    """Where the boxes of this kind begin, found by their names behind the pictures' own bytes, which might hold anything."""
    found, at = [], 0 if kind == b"mdat" else _behind_pictures(data)
    while (at := data.find(kind, at)) >= 0:
        found.append(at - 4)
        at += 4
    if not found:
        raise ValueError(f"there is no {kind.decode()}")
    return found


def resized(data: bytes | bytearray, start: int, new: bytes, parents: Collection[bytes]) -> bytes:
    """With `new` in place of the box at `start`, and the sizes of its parents made right (their last boxes of that kind)."""
    changed = bytearray(data)
    old = _u32(data, start)
    for parent in parents:
        at = max(place for place in boxes_named(data, parent) if place < start)
        struct.pack_into(">I", changed, at, _u32(data, at) + len(new) - old)
    changed[start : start + old] = new
    return bytes(changed)


def _behind_pictures(data: bytes | bytearray) -> int:
    """Zero unless the index lies at the end."""
    first, last = data.find(b"mdat"), data.rfind(b"moov")
    return last - 4 if 0 <= first < last else 0


def _payload(data: bytes | bytearray, kind: bytes) -> int:
    """Where the payload of the only box of this kind begins (found by its name: these files hold no such bytes elsewhere)."""
    if data.count(kind) != 1:
        raise ValueError(f"{kind.decode()} occurs {data.count(kind)} times")
    return data.index(kind) + len(kind)


def _u32(data: bytes | bytearray, offset: int) -> int:
    return int(struct.unpack_from(">I", data, offset)[0])
