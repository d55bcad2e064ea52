"""Both clients against the real service, from the upload to the last row, and every refusal by its class."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.both_clients import Connect
from tests.support.clips import numbered_clip
from tests.support.cutting_way import cutting_way
from tests.support.stacks import PIPELINE_ID, numbers
from vidette import JobState, JobStatus
from vidette.errors import (
    BadFile,
    Cancelled,
    InvalidFormat,
    InvalidRequest,
    InvalidVideo,
    JobOver,
    NotCompleted,
    NotFound,
    UnknownPipeline,
)
from vidette_local.stack_process import StackProcess

FRAMES = 60
README = Path(__file__).parents[2] / "libs/client/README.md"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def test_a_video_is_submitted_followed_and_read(connect: Connect, stack: StackProcess, clip: Path) -> None:
    sent: list[tuple[int, int]] = []
    seen: list[JobStatus] = []
    with connect(stack.url) as client:
        assert PIPELINE_ID in [pipeline.id for pipeline in client.pipelines()]
        job = client.submit(clip, PIPELINE_ID, 2, on_progress=lambda done, total: sent.append((done, total)))
        final = client.wait(job, timeout=120, on_status=seen.append)
        facts = client.result_facts(job)
        rows = list(client.results(job))
        with pytest.raises(JobOver):
            client.cancel(job)
    assert sent == sorted(sent)
    assert sent[-1] == (clip.stat().st_size,) * 2
    assert (final.status, final.progress, seen[-1]) == (JobState.COMPLETED, 1.0, final)
    assert numbers(rows) == [(index, index) for index in range(0, FRAMES, 2)]
    assert (facts.summary["frames"], facts.summary["ok"]) == (FRAMES // 2, FRAMES // 2)
    assert facts.models


def test_running_a_video_gives_the_same_rows(connect: Connect, stack: StackProcess, clip: Path) -> None:
    with connect(stack.url) as client:
        rows = list(client.run(clip, PIPELINE_ID, max_frames=30, timeout=120))
    assert numbers(rows) == [(index, index) for index in range(30)]


def test_a_reading_that_breaks_off_goes_on_behind_the_last_row(
    connect: Connect, stack: StackProcess, clip: Path
) -> None:
    with connect(stack.url) as client:
        job = client.submit(clip, PIPELINE_ID)
        client.wait(job, timeout=120)
        whole = list(client.result_lines(job))
    host, port = stack.url.removeprefix("http://").split(":")
    with cutting_way(host, int(port), after=sum(map(len, whole)) // 2) as url, connect(url) as client:
        assert list(client.result_lines(job)) == whole
    assert len(whole) == FRAMES


def test_a_job_that_is_not_wanted_any_more_ends_as_cancelled(
    connect: Connect, stack: StackProcess, tmp_path: Path
) -> None:
    long = numbered_clip(tmp_path, 1500)
    with connect(stack.url) as client:
        job = client.submit(long, PIPELINE_ID)
        assert client.cancel(job).job_id == job
        final = client.wait(job, timeout=60)
        assert client.cancel(job).status is JobState.FAILED, "asking again is fine"
    assert final.status is JobState.FAILED
    assert final.error is not None
    assert final.error.code == Cancelled.own_code


def test_every_refusal_has_its_class(connect: Connect, stack: StackProcess, clip: Path, tmp_path: Path) -> None:
    no_video, broken = tmp_path / "notes.mp4", tmp_path / "broken.mp4"
    no_video.write_bytes(b"%PDF-1.7" + bytes(40_000_000))
    broken.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2")
    with connect(stack.url) as client:
        with pytest.raises(InvalidFormat, match="Must be MP4, MOV, or AVI"):
            client.submit(no_video, PIPELINE_ID)
        with pytest.raises(UnknownPipeline):
            client.submit(clip, "no_such_pipeline")
        with pytest.raises(InvalidRequest):
            client.submit(clip, PIPELINE_ID, 0)
        with pytest.raises(BadFile):
            client.submit(tmp_path / "nowhere.mp4", PIPELINE_ID)
        for ask in (client.status, client.cancel, client.result_facts):
            with pytest.raises(NotFound):
                ask(uuid4())
        with pytest.raises(InvalidVideo) as caught:
            client.run(broken, PIPELINE_ID, timeout=120)
        with pytest.raises(NotCompleted):
            list(client.results(caught.value.job_id))


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_readme_run(stack: StackProcess, clip: Path, number: int) -> None:
    example = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[number]
    code = example.replace("http://127.0.0.1:8000", stack.url)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=clip.parent, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[0].isdigit()
