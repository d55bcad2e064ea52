"""Videos that cannot be analysed, through the whole stack: the job fails with a code and a sentence, and soon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clips import write_clip
from tests.support.stacks import PIPELINE_ID
from vidette.client import Client
from vidette.errors import VidetteError
from vidette.models import JobState


def header_only(path: Path) -> None:
    path.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2")


def no_index(path: Path) -> None:
    """An MP4 whose index stood at the end, and was cut off with it."""
    write_clip(path, "mp4_bframes", 30)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov") - 4])


def random_bytes_behind_a_header(path: Path) -> None:
    path.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(range(256)) * 4000)


@pytest.mark.parametrize("make", [header_only, no_index, random_bytes_behind_a_header])
def test_an_unreadable_video_is_the_videos_fault(make: Callable[[Path], None], client: Client, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    make(path)
    job_id = client.submit(path, PIPELINE_ID)
    status = client.wait(job_id, timeout=60)
    assert status.status is JobState.FAILED
    assert status.error is not None
    assert status.error.code == "invalid_video"
    assert len(status.error.message) > 20
    assert status.progress != 1.0
    with pytest.raises(VidetteError) as refusal:
        list(client.results(job_id))
    assert (refusal.value.status_code, refusal.value.detail) == (404, "Job not completed")
