"""MP4 and AVI files as trees of boxes, which can be changed and written out again, with sizes that are right or that lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_FOLDERS = {
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"mvex", b"moof", b"traf"),
    *(b"tref", b"sinf", b"schi", b"ilst", b"wave"),
}
_PREFIXED = {b"meta": 4, b"stsd": 8, b"dref": 8}
_VIDEO_ENTRIES = {b"avc1", b"hev1", b"hvc1", b"vp09", b"av01", b"mp4v", b"jpeg", b"ap4h", b"apch", b"apcn"}
_VIDEO_ENTRY = 78


@dataclass(eq=False)
class Node:
    """A box of an MP4, or a chunk of an AVI. It has either a payload or `parts`, behind the bytes of `prefix`."""

    kind: bytes
    payload: bytes = b""
    parts: list[Node] | None = None
    prefix: bytes = b""
    told_size: int | None = None
    """The size that it claims to have, where that is a lie."""
    wide: bool = False
    """Its size is written with 64 bits."""

    def walk(self) -> Iterator[tuple[list[Node], int]]:
        """Every node below, as its place in its parent's list; parents first."""
        for place, part in enumerate(self.parts or ()):
            assert self.parts is not None
            yield self.parts, place
            yield from part.walk()


@dataclass(eq=False)
class Tree:
    is_avi: bool
    root: Node = field(default_factory=lambda: Node(b"", parts=[]))

    def places(self) -> list[tuple[list[Node], int]]:
        return list(self.root.walk())

    def nodes(self) -> list[Node]:
        return [parts[place] for parts, place in self.places()]

    def rendered(self) -> bytes:
        write = _written_chunk if self.is_avi else _written_box
        return b"".join(write(part) for part in self.root.parts or ())


def read_tree(data: bytes, *, is_avi: bool) -> Tree:
    return Tree(is_avi, Node(b"", parts=list(_chunks(data) if is_avi else _boxes(data))))


def _boxes(data: bytes) -> Iterator[Node]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + size if size >= 8 else len(data)
        yield _box(kind, data[at + 8 : end])
        at = end


def _box(kind: bytes, payload: bytes) -> Node:
    if kind in _FOLDERS:
        return Node(kind, parts=list(_boxes(payload)))
    before = _VIDEO_ENTRY if kind in _VIDEO_ENTRIES else _PREFIXED.get(kind)
    if before is None or before > len(payload):
        return Node(kind, payload)
    return Node(kind, parts=list(_boxes(payload[before:])), prefix=payload[:before])


def _written_box(node: Node) -> bytes:
    body = node.prefix + (node.payload if node.parts is None else b"".join(map(_written_box, node.parts)))
    size = 8 + 8 * node.wide + len(body)
    told = size if node.told_size is None else node.told_size
    if node.wide:
        return struct.pack(">I4sQ", 1, node.kind, told % 2**64) + body
    return struct.pack(">I4s", told % 2**32, node.kind) + body


def _chunks(data: bytes) -> Iterator[Node]:
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        payload = data[at + 8 : at + 8 + size]
        if kind in (b"RIFF", b"LIST") and len(payload) >= 4:
            yield Node(kind, parts=list(_chunks(payload[4:])), prefix=payload[:4])
        else:
            yield Node(kind, payload)
        at += 8 + size + size % 2


def _written_chunk(node: Node) -> bytes:
    body = node.prefix + (node.payload if node.parts is None else b"".join(map(_written_chunk, node.parts)))
    told = len(body) if node.told_size is None else node.told_size
    return struct.pack("<4sI", node.kind, told % 2**32) + body + bytes(len(body) % 2)
