"""The pure parts of video reading: turning pictures upright, the table of packets, the structure of files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from vidette_core.domain.containers import Container
from vidette_frame_worker.video.byte_source import ClippedSource, LocalFile, MediaFile, RememberedIndex
from vidette_frame_worker.video.layout import read_layout
from vidette_frame_worker.video.orientation import Orientation
from vidette_frame_worker.video.packet_table import PacketEntry, PacketTable

ONE = 1 << 16
PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("abcd", [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)])
@pytest.mark.parametrize("swapped", [False, True])
def test_every_pixel_lands_where_the_matrix_sends_it(abcd: tuple[int, int, int, int], swapped: bool) -> None:
    a, b, c, d = (0, abcd[0], abcd[3], 0) if swapped else abcd
    turned = Orientation.from_display_matrix(matrix(a, b, c, d)).apply(PICTURE)
    places = {(x, y): (a * x + c * y, b * x + d * y) for x in range(3) for y in range(2)}
    left, top = min(x for x, _ in places.values()), min(y for _, y in places.values())
    for (x, y), (to_x, to_y) in places.items():
        assert np.array_equal(turned[to_y - top, to_x - left], PICTURE[y, x])
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("swap_axes", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_rotation_and_mirroring_describe_what_is_done_to_the_picture(
    swap_axes: bool, flip_x: bool, flip_y: bool
) -> None:
    orientation = Orientation(swap_axes, flip_x, flip_y)
    picture = PICTURE[:, ::-1] if orientation.mirrored else PICTURE
    assert np.array_equal(np.rot90(picture, orientation.rotation // 90), orientation.apply(PICTURE))
    assert orientation.size(3, 2) == orientation.apply(PICTURE).shape[1::-1]


@pytest.mark.parametrize("broken", [None, b"", b"short", bytes(36)])
def test_a_missing_or_broken_matrix_leaves_the_picture_as_it_is(broken: bytes | None) -> None:
    assert np.array_equal(Orientation.from_display_matrix(broken).apply(PICTURE), PICTURE)


def entry(pts: int, *, key: bool = False, shown: bool = True, position: int = 0, size: int = 10) -> PacketEntry:
    return PacketEntry(pts, pts, 1, position, size, key, shown)


def test_frames_are_ranked_by_time_without_those_that_are_not_shown() -> None:
    table = PacketTable.build([entry(-8, shown=False), entry(0), entry(30), entry(10), entry(20)], 1000)
    assert table.rank.tolist() == [-1, 0, 3, 1, 2]
    assert table.tag_of.tolist() == [1, 3, 4, 2]
    assert table.has_increasing_timestamps
    assert [table.time(rank) for rank in range(4)] == [0, 10, 20, 30]


def test_equal_times_keep_decode_order_and_forbid_seeking() -> None:
    table = PacketTable.build([entry(5, key=True), entry(5), entry(1), entry(5)], 1000)
    assert table.rank.tolist() == [1, 2, 0, 3]
    assert not table.has_increasing_timestamps
    assert table.starts(3) == [0]


def test_a_table_ends_before_the_first_frame_in_time_whose_bytes_are_missing() -> None:
    entries = [entry(0, position=0), entry(40, position=10), entry(20, position=20), entry(10, position=30)]
    assert PacketTable.build(entries, 40).readable == 4
    assert PacketTable.build(entries, 39).readable == 1
    assert PacketTable.build(entries, 10).readable == 1
    assert PacketTable.build(entries, 9).readable == 0
    assert PacketTable.build([], 9).readable == 0


def test_decoding_begins_one_key_frame_before_the_group_that_is_needed() -> None:
    table = PacketTable.build([entry(pts, key=pts % 10 == 0) for pts in range(50)], 1000)
    assert table.starts(35)[0] == 20
    assert table.starts(30)[0] == 20
    assert table.starts(29)[0] == 10
    assert table.starts(5) == [0]
    assert table.starts(10_000) == [0]


def test_a_packet_is_known_by_time_place_and_size_together() -> None:
    table = PacketTable.build([entry(1, position=7), entry(2, position=7), entry(3, position=9)], 1000)
    assert table.find(2, 7, 10) == 1
    assert table.find(2, 9, 10) is None
    assert table.matches(2, 3, 9, 10)
    assert not table.matches(3, 3, 9, 10)
    assert not table.matches(2, None, 9, 10)


def box(kind: bytes, payload: int, declared: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + payload if declared is None else declared, kind) + bytes(payload)


def source(folder: Path, data: bytes) -> LocalFile:
    path = folder / "file"
    path.write_bytes(data)
    return LocalFile(path)


def test_the_ranges_of_pictures_are_found_and_may_reach_behind_a_cut_files_end(tmp_path: Path) -> None:
    whole = source(tmp_path, box(b"ftyp", 8) + box(b"mdat", 100) + box(b"moov", 20))
    assert read_layout(whole, Container.MOV).media == ((24, 124),)
    assert not read_layout(whole, Container.MOV).is_cut
    cut = read_layout(source(tmp_path, box(b"ftyp", 8) + box(b"mdat", 50, 1000)), Container.MOV)
    assert (cut.media, cut.is_cut, cut.end) == (((24, 1016),), True, 74)


def test_a_cut_fragment_header_is_left_out_of_what_the_demuxer_sees(tmp_path: Path) -> None:
    data = box(b"moov", 20) + box(b"moof", 30) + box(b"mdat", 40)
    layout = read_layout(source(tmp_path, data + box(b"moof", 5, 100)), Container.MOV)
    assert (layout.end, layout.is_fragmented, layout.is_cut) == (len(data), True, True)


@pytest.mark.parametrize("declared", [2, 7])
def test_a_box_of_an_impossible_size_ends_the_search(tmp_path: Path, declared: int) -> None:
    assert read_layout(source(tmp_path, box(b"mdat", 50, declared) + box(b"mdat", 5)), Container.MOV).media == ()


def test_a_box_of_size_zero_reaches_to_the_end_and_one_of_size_one_has_64_bits(tmp_path: Path) -> None:
    assert read_layout(source(tmp_path, box(b"mdat", 50, 0)), Container.MOV).media == ((8, 58),)
    wide = struct.pack(">I4sQ", 1, b"mdat", 5 * 2**32)
    assert read_layout(source(tmp_path, wide + bytes(9)), Container.MOV).media == ((16, 5 * 2**32),)


@pytest.mark.parametrize(("declared", "cut"), [(24, False), (25, True), (0, True), (0xFFFFFFFF, True)])
def test_an_avi_is_cut_where_its_size_says_so_or_was_never_filled_in(tmp_path: Path, declared: int, cut: bool) -> None:
    data = b"RIFF" + struct.pack("<I", declared) + b"AVI " + bytes(20)
    assert read_layout(source(tmp_path, data), Container.AVI).is_cut is cut


def test_blank_ranges_read_as_zeros_and_the_rest_as_it_is(tmp_path: Path) -> None:
    file = MediaFile(source(tmp_path, bytes(range(1, 101))), [(10, 20), (90, 150)])
    data = b""
    while part := file.read(7):
        data += part
    assert data == bytes(range(1, 11)) + bytes(10) + bytes(range(21, 91)) + bytes(60)
    assert file.seek(-1, 2) + 1 == 150


def test_a_failing_source_ends_the_file_and_its_first_failure_is_kept(tmp_path: Path) -> None:
    class Failing(LocalFile):
        def read_at(self, offset: int, count: int) -> bytes:
            raise KeyboardInterrupt(offset, count)

    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    file = MediaFile(Failing(path))
    file.raise_failure()
    assert file.read(5) == b""
    file.seek(3)
    assert file.read(5) == b""
    with pytest.raises(KeyboardInterrupt, match="0, 5"):
        file.raise_failure()


def test_a_clipped_source_ends_early(tmp_path: Path) -> None:
    clipped = ClippedSource(source(tmp_path, b"abcdefgh"), 5)
    assert (clipped.size, clipped.read_at(3, 10), clipped.read_at(5, 10), clipped.read_at(9, 1)) == (5, b"de", b"", b"")


def test_what_lies_beside_the_pictures_is_fetched_once_and_the_pictures_each_time(tmp_path: Path) -> None:
    class Counting(LocalFile):
        reads = 0

        def read_at(self, offset: int, count: int) -> bytes:
            self.reads += 1
            return super().read_at(offset, count)

    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    counting = Counting(path)
    remembered = RememberedIndex(counting, [(20, 40), (60, 80)])
    asked = [(0, 10, 1), (40, 20, 1), (80, 20, 1), (10, 11, 2), (59, 2, 2), (30, 5, 2), (79, 5, 2)]
    for offset, count, fetched in asked:
        before = counting.reads
        for _ in range(2):
            assert remembered.read_at(offset, count) == bytes(range(offset, offset + count))
        assert counting.reads - before == fetched, (offset, count)
