"""The bytes of `multipart/form-data` (RFC 7578) turned into events, without I/O and in bounded memory.

Nothing is collected but the fields' few bytes: the file passes through as it comes, so that the route can look at its first
bytes, and refuse them, while the client is still sending the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from vidette_core.domain.errors import DomainError, ErrorCode, Problem

FILE = "file"
FIELDS = ("pipeline_id", "frame_stride", "max_frames", "max_workers")
MAX_FIELD_BYTES = 4096
"""Far more than any field needs; a bound so that a field cannot be a second upload, into memory."""
MAX_BOUNDARY = 70
"""RFC 2046 §5.1.1."""
MAX_PREAMBLE_BYTES = 64 * 1024
"""What may stand before the first part (RFC 2046 allows it, nobody sends it): more, and the body is none of this boundary."""
_EXPECTED = f"a form (multipart/form-data) with the part {FILE} and the fields {', '.join(FIELDS)}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field, complete."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FileBytes:
    """The next bytes of the file; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnded:
    """The file is through. `named` is whether the client gave a filename: an empty unnamed part is how browsers send none."""

    named: bool


Event = Field | FileBytes | FileEnded


def refused(message: str) -> DomainError:
    return DomainError(Problem(ErrorCode.INVALID_REQUEST, message))


def boundary_of(content_type: str | None) -> str:
    """The boundary that a Content-Type declares. Raises `DomainError` when the body is no form."""
    kind, options = parse_options_header(content_type or "")
    boundary: str = options.get("boundary", "")
    if kind != "multipart/form-data":
        raise refused(f"The body must be {_EXPECTED}; its Content-Type says {kind[:100] or 'nothing'!r}.")
    if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise refused(
            f"The Content-Type multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY} characters (RFC 2046)."
        )
    return boundary


class FormReader:
    """Push bytes in, take events out. Raises `DomainError` for what is no form or no form of ours, as soon as that is seen."""

    def __init__(self, boundary: str) -> None:
        # Twice the parts that a right form has: one too many is then told by its name rather than by a count.
        # Latin-1 takes any bytes: a file's name is of no interest, so it must not be what an upload fails on.
        self._parser = PushMultipartParser(boundary, max_segment_count=2 * (len(FIELDS) + 1), header_charset="latin-1")
        self._fed = 0
        self._seen: set[str] = set()
        self._part: MultipartSegment | None = None
        self._value = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes. Take them all before the next call."""
        try:
            for event in self._parser.parse(data):
                yield from self._taken(event)
        except MultipartError as error:
            raise _malformed(error) from error
        self._fed += len(data)
        if self._part is None and self._fed > MAX_PREAMBLE_BYTES:
            raise refused("The body does not begin with the boundary that its Content-Type declares.")

    def finish(self) -> None:
        """The body has ended. Raises `DomainError` when the form has not, or when it had no file."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise _malformed(error) from error
        if FILE not in self._seen:
            raise refused(missing_file())

    def _taken(self, event: MultipartSegment | bytes | bytearray | None) -> Iterator[Event]:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            yield self._end()
        elif self._name == FILE:
            yield FileBytes(bytes(event))
        else:
            self._value += event
            if len(self._value) > MAX_FIELD_BYTES:
                raise refused(f"The field {self._name} is longer than {MAX_FIELD_BYTES} bytes.")

    @property
    def _name(self) -> str:
        assert self._part is not None, "the parser opens a part before it gives bytes of one"
        return self._part.name or ""

    def _begin(self, part: MultipartSegment) -> None:
        self._part = part
        name = self._name
        if name != FILE and name not in FIELDS:
            shown = name.encode("latin-1").decode(errors="replace")[:100]
            raise refused(f"Unknown field {shown!r}. Allowed are {', '.join((FILE, *FIELDS))}.")
        if name in self._seen:
            raise refused(f"The field {name} was given twice; it is allowed once.")
        self._seen.add(name)
        self._value.clear()

    def _end(self) -> Event:
        assert self._part is not None, "the parser ends only a part that it opened"
        if self._name == FILE:
            return FileEnded(named=bool(self._part.filename))
        try:
            return Field(self._name, self._value.decode())
        except UnicodeDecodeError as error:
            raise refused(f"The field {self._name} is not UTF-8.") from error


def missing_file() -> str:
    return f"The part {FILE} is missing: send the video's bytes as {FILE}, e.g. with curl -F {FILE}=@video.mp4."


def _malformed(error: MultipartError) -> DomainError:
    reason = str(error.args[0]) if error.args else "it cannot be parsed"
    return refused(f"The body is not well-formed multipart/form-data (RFC 7578): {reason}.")
