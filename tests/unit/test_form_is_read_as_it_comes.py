"""The form reader: whatever the pieces in which the bytes arrive, the same events; whatever is wrong, a sentence at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidette_api.public.form import (
    MAX_FIELD_BYTES,
    MAX_PREAMBLE_BYTES,
    Event,
    Field,
    FileBytes,
    FileEnded,
    FormReader,
    boundary_of,
)
from vidette_core.domain.errors import DomainError, ErrorCode

BOUNDARY = "----form"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    given_name = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{given_name}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def read(pieces: Sequence[bytes]) -> list[Event]:
    """All events, the file's bytes joined."""
    reader = FormReader(BOUNDARY)
    events = [event for piece in pieces for event in reader.feed(piece)]
    reader.finish()
    return list(_joined(events))


def _joined(events: Sequence[Event]) -> Iterator[Event]:
    data = b""
    for event in events:
        if isinstance(event, FileBytes):
            assert event.data, "no piece of a file is empty"
            data += event.data
            continue
        if isinstance(event, FileEnded) and data:
            yield FileBytes(data)
        yield event


def refusal(*pieces: bytes) -> str:
    with pytest.raises(DomainError) as caught:
        read(pieces)
    assert caught.value.problem.code is ErrorCode.INVALID_REQUEST
    return caught.value.problem.message


WHOLE = form(part("file", b"a\r\n--not the end\r\n" * 20, "v.mp4"), part("pipeline_id", b"yolo_ocr"))
EVENTS = [FileBytes(b"a\r\n--not the end\r\n" * 20), FileEnded(named=True), Field("pipeline_id", "yolo_ocr")]


def test_the_parts_come_out_in_the_order_in_which_they_went_in() -> None:
    assert read([WHOLE]) == EVENTS
    other = form(part("max_frames", b"5"), part("file", b"abc", "v"), part("frame_stride", b"2"))
    assert read([other]) == [
        Field("max_frames", "5"),
        FileBytes(b"abc"),
        FileEnded(named=True),
        Field("frame_stride", "2"),
    ]


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=12))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(WHOLE)]
    assert read([WHOLE[begin:end] for begin, end in itertools.pairwise(edges)]) == EVENTS


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_pass_as_a_file(content: bytes, step: int) -> None:
    whole = form(part("file", content, "v"))
    events = read([whole[at : at + step] for at in range(0, len(whole), step)])
    assert events == [*([FileBytes(content)] if content else []), FileEnded(named=True)]


@given(st.binary(max_size=300))
def test_any_bytes_as_a_body_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    assert refusal(f"--{BOUNDARY}\r\n".encode() + body)


def test_bytes_of_the_file_are_handed_on_before_the_file_has_ended() -> None:
    reader = FormReader(BOUNDARY)
    assert list(reader.feed(part("file", b"x" * 100, "v")[:-2])) == [FileBytes(b"x" * 100)]


def test_an_unknown_field_is_refused_before_its_value_came() -> None:
    reader = FormReader(BOUNDARY)
    with pytest.raises(DomainError) as caught:
        list(reader.feed(part("fps", b"")[:-2]))
    assert caught.value.problem.message == (
        "Unknown field 'fps'. Allowed are file, pipeline_id, frame_stride, max_frames, max_workers."
    )


@pytest.mark.parametrize("name", ["file", "pipeline_id", "frame_stride", "max_frames", "max_workers"])
def test_a_part_given_twice_is_refused(name: str) -> None:
    assert refusal(form(part(name, b"1"), part(name, b"1"))) == f"The field {name} was given twice; it is allowed once."


def test_a_form_without_a_file_is_refused() -> None:
    assert refusal(form(part("pipeline_id", b"yolo_ocr"))).startswith("The part file is missing")
    assert refusal(form()).startswith("The part file is missing")


def test_a_field_may_be_as_long_as_the_bound_and_no_longer() -> None:
    assert read([form(part("file", b"x"), part("pipeline_id", b"p" * MAX_FIELD_BYTES))])
    said = refusal(form(part("file", b"x"), part("pipeline_id", b"p" * (MAX_FIELD_BYTES + 1))))
    assert said == "The field pipeline_id is longer than 4096 bytes."


def test_a_field_that_is_not_utf_8_is_refused() -> None:
    assert refusal(form(part("pipeline_id", b"\xff"))) == "The field pipeline_id is not UTF-8."


def test_a_body_cut_short_is_refused() -> None:
    assert "not well-formed" in refusal(WHOLE[:-6])
    assert "not well-formed" in refusal(b"")


def test_a_body_without_its_boundary_is_refused_long_before_its_end() -> None:
    pieces = (b"x" * 1024 for _ in itertools.count())
    reader = FormReader(BOUNDARY)
    fed = itertools.takewhile(lambda piece: not _is_refused(reader, piece), pieces)
    assert sum(map(len, fed)) == MAX_PREAMBLE_BYTES


def _is_refused(reader: FormReader, piece: bytes) -> bool:
    try:
        return bool(list(reader.feed(piece)))
    except DomainError:
        return True


def test_headers_without_an_end_are_refused() -> None:
    endless = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file'.encode() + b"x" * 10_000
    assert "not well-formed" in refusal(endless)


def test_an_empty_part_without_a_name_is_told_from_an_empty_file() -> None:
    assert read([form(part("file", b"", ""))]) == [FileEnded(named=False)]
    assert read([form(part("file", b"", "v.mp4"))]) == [FileEnded(named=True)]


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        (None, "its Content-Type says 'nothing'"),
        ("application/json", "its Content-Type says 'application/json'"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("multipart/mixed; boundary=x", "multipart/mixed"),
        ("multipart/form-data", "needs a boundary"),
        ("multipart/form-data; boundary=", "needs a boundary"),
        ("multipart/form-data; boundary=" + "x" * 71, "needs a boundary"),
        ('multipart/form-data; boundary="a\tb"', "needs a boundary"),
    ],
)
def test_a_body_that_is_no_form_is_refused_by_its_content_type(content_type: str | None, said: str) -> None:
    with pytest.raises(DomainError) as caught:
        boundary_of(content_type)
    assert said in caught.value.problem.message


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", 'Multipart/Form-Data; BOUNDARY="x"'])
def test_the_boundary_is_taken_from_the_content_type(content_type: str) -> None:
    assert boundary_of(content_type) == "x"


@pytest.mark.parametrize("filename", [b"\xff\xfe.mp4", "фильм.mp4".encode(), b"\xe9.mp4"])
def test_a_file_may_have_any_bytes_for_a_name(filename: bytes) -> None:
    head = b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"'
    whole = f"--{BOUNDARY}\r\n".encode() + head + b"\r\n\r\nabc\r\n" + form(part("pipeline_id", b"ocr"))
    assert read([whole]) == [FileBytes(b"abc"), FileEnded(named=True), Field("pipeline_id", "ocr")]


def test_an_unknown_field_is_named_as_the_client_wrote_it() -> None:
    assert refusal(form(part("größe", b"1"))).startswith("Unknown field 'größe'.")
