"""Where a video's bytes come from, and the file object that the demuxer reads them through.

A demuxer turns a failed read into the end of the file, or into a complaint about the video. So the file object never raises:
it keeps the first failure, ends the file, and whoever drives the demuxer asks for the failure and raises it.
"""

from __future__ import annotations

import bisect
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class ByteSource(Protocol):
    """Random access to bytes that do not change."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`, at least one unless the source ends there. Raises PortError."""
        ...

    def close(self) -> None: ...


MOST_REMEMBERED = 64 * 2**20
"""Bytes. The index of two hours has 2 MB."""


def read_whole(source: ByteSource, offset: int, count: int) -> bytes:
    """`count` bytes, fewer only at the source's end: one read may end where a block of the source does. Raises PortError."""
    data = b""
    while len(data) < count and (more := source.read_at(offset + len(data), count - len(data))):
        data += more
    return data


class LocalFile:
    """A file of this machine, for the embedded installation and for tests."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = path.stat().st_size

    def read_at(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(count)

    def close(self) -> None:
        self._file.close()


class ClippedSource:
    """The first `size` bytes of another source."""

    def __init__(self, source: ByteSource, size: int) -> None:
        self._source = source
        self.size = size

    def read_at(self, offset: int, count: int) -> bytes:
        return self._source.read_at(offset, min(count, self.size - offset)) if offset < self.size else b""

    def close(self) -> None:
        self._source.close()


class RememberedIndex:
    """Keeps what was read outside of `media`, ascending ranges [start, end): every pass opens the file anew, and begins with
    what the container says of it. Demuxers do that by the same reads each time."""

    def __init__(self, source: ByteSource, media: Sequence[tuple[int, int]]) -> None:
        self._source = source
        self._begins = [begin for begin, _ in media]
        self._ends = [end for _, end in media]
        self._known: dict[tuple[int, int], bytes] = {}
        self._room = MOST_REMEMBERED
        self.size = source.size

    def read_at(self, offset: int, count: int) -> bytes:
        if (known := self._known.get((offset, count))) is not None:
            return known
        data = self._source.read_at(offset, count)
        if len(data) <= self._room and not self._is_media(offset, offset + len(data)):
            self._known[offset, count] = data
            self._room -= len(data)
        return data

    def _is_media(self, begin: int, end: int) -> bool:
        """Whether [begin, end) has a byte of the pictures."""
        last = bisect.bisect_left(self._begins, end) - 1  # the last range that begins before `end`
        return last >= 0 and self._ends[last] > begin

    def close(self) -> None:
        self._source.close()


class MediaFile:
    """A read-only file object over a ByteSource.

    `blanks` are ascending ranges [start, end) that read as zeros without touching the source, even behind its end: with the
    payload of a film blanked out, its packet table can be read without fetching the film.
    """

    def __init__(self, source: ByteSource, blanks: Sequence[tuple[int, int]] = ()) -> None:
        self._source = source
        self._position = 0
        self._blanks = blanks
        self._failure: BaseException | None = None

    @property
    def size(self) -> int:
        """The source's, or as much more as a blank range promises."""
        return max([self._source.size, *(end for _, end in self._blanks)])

    def raise_failure(self) -> None:
        """Raises what the first failing read raised, if one did."""
        if self._failure is not None:
            raise self._failure

    def read(self, count: int) -> bytes:
        try:
            data = self._read(count) if self._failure is None else b""
        except BaseException as failure:  # also KeyboardInterrupt: the C code above this frame would lose it
            self._failure = failure
            return b""
        self._position += len(data)
        return data

    def _read(self, count: int) -> bytes:
        following = bisect.bisect_right(self._blanks, (self._position, sys.maxsize))
        if following and self._position < self._blanks[following - 1][1]:
            return bytes(min(count, self._blanks[following - 1][1] - self._position))
        if following < len(self._blanks):
            count = min(count, self._blanks[following][0] - self._position)
        if self._position >= self._source.size:
            return b""
        return self._source.read_at(self._position, min(count, self._source.size - self._position))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position
