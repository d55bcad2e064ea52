"""The disk of the state folder full in the middle of a job: uploads are refused, the job waits, and all is whole afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import numbered_clip
from tests.support.code_reader import add_code_pipeline
from tests.support.processes import wait_until
from tests.support.small_disk import fill, small_disk
from tests.support.stacks import HASTE, PIPELINE_ID, completed, free_port, numbers, progress_between, until
from vidette.client import Client
from vidette.errors import VidetteError
from vidette.retry import RetryPolicy
from vidette_local.stack_process import UP, StackDidNotStart, StackProcess

FRAMES = 900
UNDER_WAY = progress_between(0.05, 0.5)
MEBIBYTES = 600
"""A new stack takes 75 of them."""
REFUSALS = {"store_unavailable", "database_unavailable"}
"""Whichever needs room first."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StackProcess, Path]]:
    """A stack, and where the test sees its state folder."""
    folder = tmp_path_factory.mktemp("disk")
    with small_disk(folder / "small", MEBIBYTES) as disk:
        add_code_pipeline(disk.seen / "home" / "models")
        settings = {**HASTE, "VIDETTE_HTTP_PORT": str(free_port())}
        argv = [*disk.enter, *UP]
        with StackProcess(
            disk.path / "home", settings, start_seconds=300, messages=folder / "said", argv=argv
        ) as stack:
            yield stack, disk.seen / "home"


def stored(home: Path) -> set[Path]:
    """The store's blocks on the disk."""
    return {path for path in (home / "s3" / "data").rglob("*") if path.is_file()}


def test_uploads_are_refused_the_job_waits_and_with_room_again_everything_completes(
    cramped: tuple[StackProcess, Path], clip: Path
) -> None:
    stack, home = cramped
    with Client(stack.url, retries=RetryPolicy(attempts=1)) as client:
        earlier = client.submit(clip, PIPELINE_ID, max_frames=40)
        completed(client, earlier)
        job_id = client.submit(clip, PIPELINE_ID)
        until(client, job_id, UNDER_WAY)
        filler = fill(home)
        wait_until(lambda: "the disk of" in stack.said(), 15, "the stack says that the disk is full")
        before = stored(home)
        for _ in range(5):
            with pytest.raises(VidetteError) as caught:
                client.submit(clip, PIPELINE_ID)
            assert (caught.value.status_code, caught.value.retry_after) == (503, 5)
            assert caught.value.code in REFUSALS
            time.sleep(1)
        assert client.status(job_id).status == "running"
        assert stored(home) - before == set()
        assert numbers(list(client.results(earlier)))[-1] == (39, 39)

        filler.unlink()
        assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
        assert numbers(completed(client, client.submit(clip, PIPELINE_ID, max_frames=40)))[-1] == (39, 39)
        assert numbers(list(client.results(earlier))) == [(index, index) for index in range(40)]
    wait_until(lambda: "there is room again" in stack.said(), 15, "the stack says that there is room again")
    said = stack.said()
    assert str(stack.home.path) in said
    assert "Remove files there, or set VIDETTE_HOME to a larger disk" in said


def test_a_start_on_a_full_disk_names_the_cause(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 20) as disk:
        argv = [*disk.enter, *UP]
        stack = StackProcess(disk.path / "home", {"VIDETTE_PARTS": "postgres"}, messages=tmp_path / "said", argv=argv)
        with pytest.raises(StackDidNotStart, match=r"could not extend file|No space left on device"), stack:
            pass
    assert "the disk of" in stack.said()
