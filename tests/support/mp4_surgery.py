"""Changes to finished video files that no encoder makes: edit lists that cut frames away, and packets that do not decode."""

from __future__ import annotations

import struct
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av


def cut_with_edit_list(path: Path, *, skip: Fraction, keep: Fraction) -> None:
    """Make a player skip the first `skip` seconds and show only the next `keep` ones, by the edit list that is there.

    The movie's and the track's time scales are read from `mvhd` and `mdhd`; the media time of the list is moved on, so that
    an offset which the muxer wrote for B-frames stays in force.
    """
    data = bytearray(path.read_bytes())
    movie_scale = _u32(data, _payload(data, b"mvhd") + 12)
    media_scale = _u32(data, _payload(data, b"mdhd") + 12)
    edits = _payload(data, b"elst")
    if data[edits] != 0 or _u32(data, edits + 4) != 1:
        raise ValueError("expected one edit of version 0")
    media_time = _u32(data, edits + 12) + int(skip * media_scale)
    struct.pack_into(">II", data, edits + 8, int(keep * movie_scale), media_time)
    path.write_bytes(data)


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
