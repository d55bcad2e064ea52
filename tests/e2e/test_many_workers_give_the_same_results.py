"""A video split among workers of the embedded stack: the same bytes as from one worker, on every container, damaged ones too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate, cycle, islice
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.clips import write_clip
from tests.support.mp4_surgery import spoil_packets
from tests.support.stacks import PIPELINE_ID, completed, numbers, stack_running
from tests.support.untrue_indices import UNTRUE_MP4
from vidette.client import Client
from vidette_local.stack_process import StackProcess
from vidette_models.demo.sample import sample_path
from vidette_models.demo.video import read_rgb, write_h264

FRAMES, STRETCH = 300, 80
"""Decoding begins afresh at every twentieth chunk of 4, and a video is split only there."""
WORKERS = 3


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack to which one more worker costs next to nothing, so that even short clips are worth splitting."""
    variables = {
        "VIDETTE_CHUNK_FRAMES": "4",
        "VIDETTE_WORKER_START_S": "0.0001",
        "VIDETTE_MAX_WORKERS": str(WORKERS),
        "VIDETTE_MAX_WORKERS_PER_TENANT": str(WORKERS),
    }
    with stack_running(tmp_path_factory.mktemp("split"), **variables) as running:
        yield running


@pytest.fixture
def client(split: StackProcess) -> Iterator[Client]:
    with Client(split.url) as made:
        yield made


def lines(stack: StackProcess, job_id: UUID) -> bytes:
    """The results as they are on the wire, a line a frame."""
    address = f"{stack.url}/video/results/{job_id}"
    answer = httpx.get(address, headers={"Accept": "application/x-ndjson"}, timeout=30, trust_env=False)
    return answer.raise_for_status().content


def told(stack: StackProcess, job_id: UUID) -> list[dict[str, Any]]:
    """What the job's workers wrote into their logs."""
    logs = stack.home.logs.glob(f"worker-{job_id}-*.log")
    return [json.loads(line) for log in logs for line in log.read_text().splitlines() if line.startswith("{")]


def segments(stack: StackProcess, job_id: UUID) -> set[int]:
    """Those that were claimed."""
    return {line["segment"] for line in told(stack, job_id) if line["event"] == "claimed"}


def most_at_once(stack: StackProcess, job_id: UUID) -> int:
    """How many segments were worked on at one time."""
    steps = {"claimed": 1, "finished": -1}
    moments = [(line["timestamp"], steps[line["event"]]) for line in told(stack, job_id) if line["event"] in steps]
    return max(accumulate(step for _, step in sorted(moments)))


@pytest.mark.parametrize("kind", ["mp4_bframes", "mp4_vfr", "mp4_open_gop", "mp4_edit_list", "mp4_rotated", "mov"])
def test_any_number_of_workers_gives_the_same_bytes(
    kind: str, split: StackProcess, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / f"clip.{kind[:3]}"
    shown = write_clip(path, kind, FRAMES)
    alone = client.submit(path, PIPELINE_ID, max_workers=1)
    assert numbers(completed(client, alone)) == list(enumerate(shown))
    assert segments(split, alone) == {0}
    for workers, parts in ((2, 2), (3, 3), (None, 8)):
        together = client.submit(path, PIPELINE_ID, max_workers=workers)
        completed(client, together)
        assert lines(split, together) == lines(split, alone)
        assert segments(split, together) == set(range(min(parts, -(-len(shown) // STRETCH))))
        assert client.status(together).warnings == ()


def test_where_triton_joins_requests_to_batches_results_differ_by_rounding_at_most(
    split: StackProcess, client: Client, tmp_path: Path
) -> None:
    """The detector's requests are joined, as the stack's repository has it; frames in flight meet in other batches each time."""
    config = (split.home.models / "demo-detector" / "config.pbtxt").read_text()
    assert "dynamic_batching" in config
    path = tmp_path / "clip.mp4"
    write_h264(path, islice(cycle(read_rgb(sample_path())), FRAMES))
    alone, together = (client.submit(path, "yolo", max_workers=workers) for workers in (1, WORKERS))
    found = [completed(client, job_id) for job_id in (alone, together)]
    assert segments(split, together) == {0, 1, 2}
    assert sum(len(row.result.detections) for row in found[0]) > FRAMES
    for one, other in zip(*found, strict=True):
        assert (one.frame_index, one.result.timestamp_ms) == (other.frame_index, other.result.timestamp_ms)
        assert [each.label for each in one.result.detections] == [each.label for each in other.result.detections]
        for mine, theirs in zip(one.result.detections, other.result.detections, strict=True):
            assert theirs.confidence == pytest.approx(mine.confidence, abs=1e-3)
            assert theirs.bbox == pytest.approx(mine.bbox, rel=1e-3, abs=1e-3)


def test_a_long_video_has_several_workers_at_once(split: StackProcess, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, "mp4_bframes", 3000)
    job_id = client.submit(path, PIPELINE_ID)
    completed(client, job_id)
    assert most_at_once(split, job_id) == WORKERS


def test_a_video_without_times_of_its_own_stays_whole_and_says_so(
    split: StackProcess, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "clip.avi"
    shown = write_clip(path, "avi_bframes", FRAMES)
    job_id = client.submit(path, PIPELINE_ID)
    assert numbers(completed(client, job_id)) == list(enumerate(shown))
    assert [warning.code for warning in client.status(job_id).warnings] == ["not_split"]
    assert segments(split, job_id) == {0}


def test_a_truncated_video_is_split_as_far_as_it_goes(split: StackProcess, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, "mp4_truncated", 400)
    alone, together = (client.submit(path, PIPELINE_ID, max_workers=workers) for workers in (1, None))
    assert completed(client, together) == completed(client, alone)
    assert lines(split, together) == lines(split, alone)
    assert [warning.code for warning in client.status(together).warnings] == ["truncated"]


@pytest.mark.parametrize("kind", UNTRUE_MP4)
def test_a_video_whose_index_does_not_say_which_frame_is_which_is_counted_by_its_decoder_and_says_so(
    kind: str, split: StackProcess, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    shown = UNTRUE_MP4[kind](path, 2 * STRETCH)
    alone, together = (client.submit(path, PIPELINE_ID, max_workers=workers) for workers in (1, None))
    for job_id in (alone, together):
        rows = completed(client, job_id)
        assert numbers(rows) == list(enumerate(shown.numbers))
        assert [row.result.timestamp_ms for row in rows] == pytest.approx(shown.times_ms, abs=0.001)
        assert [warning.code for warning in client.status(job_id).warnings] == ["not_split"]
    assert lines(split, together) == lines(split, alone)


@pytest.mark.parametrize("kind", ["mp4_bframes", "mp4_open_gop", "mov_mjpeg"])
def test_a_damaged_video_is_split_like_any_other(
    kind: str, split: StackProcess, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / f"clip.{kind[:3]}"
    write_clip(path, kind, FRAMES)
    spoil_packets(path, "mov", [20, 79, 81, 157, 240])
    alone, together = (client.submit(path, PIPELINE_ID, max_workers=workers) for workers in (1, None))
    rows = completed(client, alone)
    assert [row.frame_index for row in rows] == list(range(FRAMES))
    assert any(row.result.error for row in rows)
    completed(client, together)
    assert lines(split, together) == lines(split, alone)
    assert segments(split, together) == {0, 1, 2, 3}
    assert client.status(together).warnings == ()
