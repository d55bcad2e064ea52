"""Some frames of a completed job come out again as they are stored; what was changed since does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clips import KINDS, write_clip
from tests.support.mp4_surgery import spoil_packets
from tests.support.stacks import PIPELINE_ID, completed
from tests.support.untrue_indices import UNTRUE_MP4
from vidette.client import Client
from vidette_core.domain.verifying import MOST_FRAMES_WITHOUT_INDEX
from vidette_local.stack_process import StackProcess

FRAMES, CHUNK_FRAMES = 150, 20


@pytest.mark.parametrize(("kind", "frames"), [("mp4_open_gop", 40), ("mp4_edit_list", 40), ("avi_bframes", 30)])
def test_frames_drawn_at_random_come_out_as_they_are_stored(
    client: Client, tmp_path: Path, kind: str, frames: int
) -> None:
    path = tmp_path / f"clip.{KINDS[kind].container}"
    write_clip(path, kind, FRAMES)
    if kind == "mp4_open_gop":
        spoil_packets(path, "mov", [10, 55, 56, 120])
    job_id = client.submit(path, PIPELINE_ID)
    completed(client, job_id)
    found = client.verify(job_id, 40, timeout=120)
    assert (found.verifies, found.identical) == (job_id, found.frames)
    assert frames - CHUNK_FRAMES < found.frames <= frames, "of the last chunk, which is shorter, there are fewer"
    assert found.holds


def test_so_do_those_that_only_the_decoder_can_count(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    UNTRUE_MP4["not_coded"](path, FRAMES)
    job_id = client.submit(path, PIPELINE_ID, frame_stride=2)
    completed(client, job_id)
    assert client.verify(job_id, 1000, timeout=120).identical == MOST_FRAMES_WITHOUT_INDEX


def test_the_command_says_so_and_its_exit_code_too(stack: StackProcess, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, "mp4_bframes", 30)
    job_id = client.submit(path, PIPELINE_ID)
    completed(client, job_id)
    command = [sys.executable, "-m", "vidette.cli", "verify", str(job_id), "--frames", "5", "--url", stack.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "identical  5" in done.stdout
