"""A video split among the pods of one Job that grows while it runs: the same bytes as from one pod, also when one is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.clips import numbered_clip
from tests.support.installation import Installation, eventually
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client

FRAMES = 2000
"""More than one pod analyses until the last of the others has come, also on a busy machine."""
PODS = 3


@pytest.fixture(scope="module")
def splitting(vidette: Installation) -> Iterator[Installation]:
    """One more pod counts for next to nothing, so that short clips are worth splitting."""
    with vidette.changed(VIDETTE_WORKER_START_S="0.0001", VIDETTE_MAX_WORKERS=str(PODS)):
        yield vidette


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def running(vidette: Installation, job_id: UUID) -> list[str]:
    return [pod["metadata"]["name"] for pod in vidette.pods(job_id) if pod["status"]["phase"] == "Running"]


def sizes(vidette: Installation, job_id: UUID) -> tuple[int, int]:
    (job,) = vidette.jobs(job_id)
    return job["spec"]["completions"], job["spec"]["parallelism"]


def test_its_job_grows_to_as_many_pods_as_the_caps_allow_and_gives_the_same_bytes(
    splitting: Installation, clip: Path
) -> None:
    with Client(splitting.url) as through:
        alone = through.submit(clip, PIPELINE_ID, max_workers=1)
        assert numbers(completed(through, alone)) == [(index, index) for index in range(FRAMES)]
        assert sizes(splitting, alone) == (1, 1)
        together = through.submit(clip, PIPELINE_ID)
        eventually(lambda: len(running(splitting, together)) == PODS, "as many pods as the caps allow")
        completed(through, together)
        assert sizes(splitting, together) == (PODS, PODS)
        assert list(through.result_lines(together)) == list(through.result_lines(alone))
        assert through.status(together).warnings == ()
    eventually(lambda: splitting.jobs(together)[0]["status"].get("succeeded") == PODS, "the end of all of its pods")


@pytest.mark.own_cluster
def test_a_pod_that_is_killed_holds_up_none_of_the_others(splitting: Installation, clip: Path) -> None:
    with Client(splitting.url) as through:
        job_id = through.submit(clip, PIPELINE_ID)
        eventually(lambda: len(running(splitting, job_id)) == PODS, "all of its pods")
        splitting.kill_worker(running(splitting, job_id)[1])
        assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
        assert len(splitting.jobs(job_id)) == 1, "the same attempt"
