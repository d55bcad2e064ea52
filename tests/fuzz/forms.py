"""Cases for the upload parser: a good form, spoilt in its boundary, headers, parts and bytes, and cut into pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from tests.fuzz.chance import Dice
from tests.fuzz.noise import spoilt
from tests.support.public_api import MP4_HEAD
from vidette_api.public.form import FormReader, boundary_of
from vidette_core.domain.errors import DomainError

CHARSETS = ("utf-8", "latin-1", "utf-16", "utf-7", "idna", "rot13", "base64", "none", "")
TYPES = (
    "multipart/form-data; boundary={}",
    'multipart/form-data; boundary="{}"',
    "multipart/form-data; charset=utf-16; boundary={}",
    "Multipart/Form-Data;BOUNDARY={}",
    "multipart/form-data; boundary={}; boundary=other",
    "multipart/mixed; boundary={}",
    "multipart/form-data; boundary*=utf-8''{}",
    "multipart/form-data; boundary*0={}; boundary*1=x",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "application/json",
    "text/plain; boundary={}",
    "",
    ";;;=;=\\",
)
BOUNDARIES = ("b", "raw", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "x" * 70)
ODD_BOUNDARIES = ("x" * 71, "a b", "--", "'()+_,-./:=?", "", "\r\n", "\u00e4")
NAMES = (
    "file",
    "pipeline_id",
    "frame_stride",
    "max_frames",
    "max_workers",
    "title",
    "",
    "FILE",
    "file[]",
    "fi\0le",
    "f" * 5000,
)
VALUES = (
    *(
        b"",
        b"yolo_ocr",
        b"ocr",
        b"no-such",
        b"1",
        b"0",
        b"-1",
        b"2147483648",
        b"9" * 5000,
        b"1e3",
        b"null",
        b" 7 ",
        b"true",
    ),
    *(b"\xff\xfe", b"\xd9\xa1", b"1\0", b"0x10", b"'; drop table job; --", b"\r\n", b"--", b"\xe2\x80\xae" * 30),
)
DISPOSITIONS = (
    'form-data; name="{}"',
    'form-data; name="{}"; filename="v.mp4"',
    "form-data; name={}; filename*=utf-8''%e2%82%ac.mp4",
    "form-data; name*=utf-8''{}",
    'form-data; name="{}"; name="file"',
    'form-data; name="{}"; filename="../../etc/passwd"',
    'form-data; filename="v"; name="{}',
    "attachment; name={}",
    "form-data",
    "{}",
    "",
)
ENCODINGS = (None, None, None, "binary", "base64", "quoted-printable", "8bit", "gzip", "x" * 9000)
LINES = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"")


class FormCase(NamedTuple):
    content_type: str
    pieces: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    content: bytes
    disposition: str = 'form-data; name="{}"; filename="v.mp4"'
    headers: tuple[str, ...] = ()
    line: bytes = b"\r\n"
    boundary: str | None = None

    def rendered(self, boundary: str) -> bytes:
        head = [f"Content-Disposition: {self.disposition.replace('{}', self.name)}", *self.headers]
        lines = [f"--{boundary if self.boundary is None else self.boundary}", *head, ""]
        encoded = [line.encode("latin-1", errors="replace") for line in lines]
        return self.line.join(encoded) + self.line + self.content + self.line


def form_case(seed: int, number: int) -> FormCase:
    dice = Dice("forms", seed, number)
    boundary = dice.of(ODD_BOUNDARIES if dice.one_in(12) else BOUNDARIES)
    content_type = dice.of(TYPES) if dice.one_in(8) else TYPES[0]
    parts = _parts(dice)
    body = b"".join(part.rendered(boundary) for part in parts) + _end(dice, boundary)
    if dice.one_in(4):
        body = spoilt(dice, body)
    if dice.one_in(20):
        body = dice.of((b"\r\n", b"preamble\r\n", dice.bytes(70_000), b"\0" * 70_000, b"\r\n" * 40_000)) + body
    return FormCase(content_type.replace("{}", boundary), _in_pieces(dice, body, boundary.encode()))


def _parts(dice: Dice) -> list[_Part]:
    video = MP4_HEAD + bytes(dice.of((0, 1, 100, 5000)))
    parts = [
        _Part("file", dice.of((video, video, video, b"", b"GIF89a", MP4_HEAD[: dice.below(20)]))),
        _Part("pipeline_id", b"yolo_ocr", 'form-data; name="{}"'),
        _Part("frame_stride", b"2", 'form-data; name="{}"'),
    ]
    for _ in range(dice.of((0, 0, 0, 0, 0, 1, 2, 40))):
        name = dice.of(NAMES)
        parts.insert(dice.below(len(parts) + 1), _Part(name, dice.of(VALUES), dice.of(DISPOSITIONS)))
    for _ in range(dice.of((0, 0, 1, 1, 2, 4))):
        if parts:
            _spoil_a_part(dice, parts)
    return parts


def _spoil_a_part(dice: Dice, parts: list[_Part]) -> None:
    place = dice.below(len(parts))
    part = parts[place]
    match dice.below(9):
        case 0:
            del parts[place]
        case 1:
            parts.insert(dice.below(len(parts) + 1), part)
        case 2:
            parts[place] = replace(part, disposition=dice.of(DISPOSITIONS))
        case 3:
            parts[place] = replace(part, headers=_headers(dice))
        case 4:
            parts[place] = replace(part, line=dice.of(LINES))
        case 5:
            parts[place] = replace(part, name=dice.of(NAMES))
        case 6:
            parts[place] = replace(part, content=dice.of(VALUES) * dice.of((1, 1, 100)))
        case 7:
            parts[place] = replace(part, boundary=dice.of(("", "b", "x", "b--", " ", "b\0")))
        case _:
            parts[place] = replace(part, content=b"\r\n--b" + part.content + b"\r\n--b-" + bytes(20))


def _headers(dice: Dice) -> tuple[str, ...]:
    found = [f"Content-Type: text/plain; charset={dice.of(CHARSETS)}"]
    if (encoding := dice.of(ENCODINGS)) is not None:
        found.append(f"Content-Transfer-Encoding: {encoding}")
    found += [
        dice.of(
            (
                "no colon",
                ": no name",
                "X:" + "y" * 5000,
                "Content-Disposition: form-data; name=file",
                "\0: \0",
                " folded",
            )
        )
    ]
    return tuple(found * dice.of((1, 1, 1, 20, 300)))


def _end(dice: Dice, boundary: str) -> bytes:
    right = f"--{boundary}--\r\n".encode()
    if dice.below(4):
        return right
    return dice.of((right[:-2], right[:-4], b"", b"--", right + right, right + b"epilogue" * 10, b"\r\n" + right))


def _in_pieces(dice: Dice, body: bytes, boundary: bytes) -> tuple[bytes, ...]:
    """As sockets give them: all at once, a few, byte by byte, or cut within each boundary."""
    match dice.below(5):
        case 0:
            return (body,)
        case 1 if len(body) < 3_000:
            return tuple(body[at : at + 1] for at in range(len(body)))
        case 2:
            cuts = [at + dice.below(len(boundary) + 6) for at in _places(body, boundary)[:500]]
        case _:
            cuts = [dice.below(len(body)) for _ in range(dice.of((1, 2, 10, 50)))]
    bounds = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    return tuple(body[first:end] for first, end in pairwise(bounds))


def _places(body: bytes, boundary: bytes) -> list[int]:
    found, at = [], 0
    while (at := body.find(boundary, at)) >= 0:
        found.append(max(0, at - 4))
        at += 1
    return found


def parsed(case: FormCase) -> str:
    """How the reader takes it: `form`, or the code of the refusal. What it raises besides is a defect."""
    try:
        reader = FormReader(boundary_of(case.content_type))
        for piece in case.pieces:
            for _ in reader.feed(piece):
                pass
        reader.finish()
    except DomainError as error:
        return error.problem.code.value
    return "form"
