"""Clips whose frames carry their number, through the whole stack: `frame_index` is the frame's rank, on every container."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clips import write_clip, write_digits_clip
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client

FRAMES = 70


@pytest.mark.parametrize(
    "kind", ["mp4_bframes", "mp4_vfr", "mp4_open_gop", "mp4_edit_list", "mp4_rotated", "mov", "avi", "avi_bframes"]
)
def test_every_frame_comes_once_in_order_with_its_own_number(kind: str, client: Client, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{kind[:3]}"
    shown = write_clip(path, kind, FRAMES)
    rows = completed(client, client.submit(path, PIPELINE_ID))
    assert numbers(rows) == list(enumerate(shown))


@pytest.mark.parametrize(("stride", "max_frames"), [(3, None), (1, 21), (7, 4), (100, None)])
def test_stride_and_max_frames_choose_frames_of_the_whole_video(
    stride: int, max_frames: int | None, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    shown = write_clip(path, "mp4_vfr", FRAMES)
    rows = completed(client, client.submit(path, PIPELINE_ID, frame_stride=stride, max_frames=max_frames))
    assert numbers(rows) == list(enumerate(shown))[::stride][:max_frames]


def test_timestamps_are_those_of_the_container(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, "mp4_bframes", 30, fps=25)
    rows = completed(client, client.submit(path, PIPELINE_ID))
    assert [row.result.timestamp_ms for row in rows] == pytest.approx([40.0 * index for index in range(30)], abs=0.1)


def test_a_truncated_video_ends_early_with_a_warning(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    shown = write_clip(path, "mp4_truncated", 200)
    job_id = client.submit(path, PIPELINE_ID)
    rows = completed(client, job_id)
    assert 0 < len(rows) < len(shown)
    assert numbers(rows) == list(enumerate(shown))[: len(rows)]
    assert [warning.code for warning in client.status(job_id).warnings] == ["truncated"]


@pytest.mark.parametrize(("first", "stride"), [(0, 1), (40, 2)])
def test_digits_in_the_picture_are_read_on_the_frame_that_shows_them(
    first: int, stride: int, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "digits.mp4"
    write_digits_clip(path, 3 * stride, first=first, size=(320, 180))
    rows = completed(client, client.submit(path, "ocr", frame_stride=stride))
    assert [(row.frame_index, row.result.text) for row in rows] == [
        (index, str(first + index)) for index in range(0, 3 * stride, stride)
    ]
