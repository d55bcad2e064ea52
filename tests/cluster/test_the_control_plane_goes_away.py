"""API server or etcd go and come back: jobs under way go on, what is submitted meanwhile is taken, and nothing is done twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.clips import numbered_clip
from tests.support.installation import Installation
from tests.support.operators_guide import followed
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from vidette.client import Client
from vidette.models import JobState

pytestmark = pytest.mark.own_cluster

FRAMES = 900
AWAY_S = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def control(vidette: Installation, *arguments: str) -> None:
    vidette.cluster.command(*arguments)


@pytest.mark.timeout(400)
def test_jobs_survive_a_minute_without_an_api_server(vidette: Installation, through: Client, clip: Path) -> None:
    first = through.submit(clip, PIPELINE_ID)
    until(through, first, progress_between(0.02, 0.8))
    control(vidette, "stop", "kube-apiserver")
    began = time.monotonic()
    try:
        second = through.submit(clip, PIPELINE_ID, max_frames=60)
        assert numbers(completed(through, first)) == [(index, index) for index in range(FRAMES)]
        assert through.status(second).status is not JobState.FAILED
        time.sleep(max(0.0, AWAY_S - (time.monotonic() - began)))
    finally:
        control(vidette, "start", "kube-apiserver")
    assert numbers(completed(through, second)) == [(index, index) for index in range(60)]
    for job_id in (first, second):
        assert vidette.jobs_given_pods(job_id) == [f"vidette-{job_id}-a1"], "nothing was given up or done twice"


@pytest.mark.timeout(300)
def test_jobs_survive_a_restart_of_etcd(vidette: Installation, through: Client, clip: Path) -> None:
    job_id = through.submit(clip, PIPELINE_ID)
    until(through, job_id, progress_between(0.02, 0.8))
    control(vidette, "stop", "etcd")
    try:
        later = through.submit(clip, PIPELINE_ID, max_frames=60)
    finally:
        control(vidette, "start", "etcd")
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
    assert numbers(completed(through, later)) == [(index, index) for index in range(60)]
    assert "apiserver-" in followed("Nothing happens at all", vidette, later), "it holds a lease"
