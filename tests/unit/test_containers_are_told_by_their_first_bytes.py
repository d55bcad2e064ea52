"""What counts as a video is decided by the first bytes: the accepted beginnings, and all that only looks like one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidette_core.domain.containers import IMAGE_BRANDS, SNIFF_BYTES, Container, sniff


def box(kind: bytes, payload: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(payload) if size is None else size, kind) + payload


def long_box(kind: bytes, payload: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(payload) if size is None else size) + payload


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"".join(compatible))


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"qt  ", b"M4V ", b"3gp5", b"dash", b"M4A ", b"XAVC", b"new!"])
def test_a_file_type_box_of_any_brand_that_is_no_picture_begins_a_video(brand: bytes) -> None:
    assert sniff(ftyp(brand, b"isom")) is Container.MOV


@pytest.mark.parametrize("brand", sorted(IMAGE_BRANDS))
def test_a_picture_is_refused_even_if_it_calls_itself_compatible_with_video(brand: bytes) -> None:
    assert sniff(ftyp(brand, b"isom", b"mp42")) is None
    assert sniff(long_box(b"ftyp", brand + bytes(4))) is None


def test_a_video_that_calls_itself_compatible_with_pictures_stays_a_video() -> None:
    assert sniff(ftyp(b"isom", b"mif1", b"heic")) is Container.MOV


@pytest.mark.parametrize("kind", [b"moov", b"mdat", b"wide", b"free", b"skip"])
def test_the_boxes_that_old_quicktime_files_begin_with_are_accepted(kind: bytes) -> None:
    assert sniff(box(kind, bytes(100))) is Container.MOV
    assert sniff(box(kind)) is Container.MOV
    assert sniff(long_box(kind, size=6 * 2**30)) is Container.MOV


@pytest.mark.parametrize("kind", [b"moov", b"mdat"])
def test_a_box_that_reaches_to_the_end_of_the_file_may_come_first_if_it_can_hold_a_video(kind: bytes) -> None:
    assert sniff(box(kind, bytes(100), size=0)) is Container.MOV


@pytest.mark.parametrize("kind", [b"ftyp", b"wide", b"free", b"skip"])
def test_a_filler_that_reaches_to_the_end_of_the_file_leaves_no_video(kind: bytes) -> None:
    assert sniff(box(kind, b"isom" + bytes(100), size=0)) is None


@pytest.mark.parametrize("kind", [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"])
@pytest.mark.parametrize("size", [2, 7])
def test_a_box_smaller_than_its_own_header_is_refused(kind: bytes, size: int) -> None:
    assert sniff(box(kind, b"isom" + bytes(20), size=size)) is None
    assert sniff(long_box(kind, b"isom" + bytes(20), size=size + 8)) is None
    assert sniff(long_box(kind, b"isom" + bytes(20), size=2**63)) is None


def test_a_file_type_box_without_room_for_its_brand_or_larger_than_any_is_refused() -> None:
    assert sniff(box(b"ftyp", b"isom" + bytes(20), size=12)) is None
    assert sniff(box(b"ftyp", b"isom" + bytes(20), size=2**20)) is None


def test_avi_is_riff_with_the_form_avi() -> None:
    assert sniff(b"RIFF" + bytes(4) + b"AVI LIST" + bytes(8)) is Container.AVI


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00",
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01",
        b"GIF89a" + bytes(20),
        b"PK\x03\x04" + bytes(20),
        b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://example.org/a.ts",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00",
        b"RIFF\x24\x00\x00\x00WEBPVP8 \x10\x00\x00\x00",
        b"RIFF\x24\x00\x00\x00",
        b"RIFX\x00\x00\x00\x24AVI LIST",
        b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1f\x42\x86",
        b"OggS" + bytes(20),
        b"FLV\x01\x05" + bytes(20),
        b"\x47\x40\x00\x10" + bytes(20),
        b"<?xml version='1.0'?><MPD>",
        b"ftypisom" + bytes(20),
        b"\x00\x00\x00\x18ftyp",
        b"\x00\x00\x00\x18ftypis",
        b"\x00\x00\x00\x18sidx" + bytes(20),
    ],
)
def test_what_is_neither_is_refused(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer_and_only_the_first_few_decide(head: bytes) -> None:
    assert sniff(head) == sniff(head[:SNIFF_BYTES])


@given(
    st.binary(max_size=3),
    st.sampled_from([ftyp(b"isom"), b"RIFF" + bytes(4) + b"AVI ", box(b"moov", bytes(9))]),
    st.data(),
)
def test_a_beginning_counts_only_at_the_very_start_and_only_when_it_is_whole(
    junk: bytes, head: bytes, data: st.DataObject
) -> None:
    assert sniff(head) is not None
    assert sniff(b"#" + junk + head) is None
    cut = data.draw(st.integers(0, 7))
    assert sniff(head[:cut]) is None


@given(st.binary(min_size=4, max_size=4), st.integers(2, 2**32 - 1), st.binary(min_size=12, max_size=12))
def test_only_the_known_boxes_are_accepted(kind: bytes, size: int, rest: bytes) -> None:
    known = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
    if sniff(struct.pack(">I", size) + kind + rest) is Container.MOV:
        assert kind in known
