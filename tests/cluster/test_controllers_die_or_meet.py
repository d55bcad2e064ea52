"""One controller dies at the worst moment, or several are at work: each video is launched once, and no end is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from tests.support import dying_controller
from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster
from tests.support.installation import Installation, eventually
from tests.support.jobs import MANY_WORKERS, PLENTY, adapters
from tests.support.kube_rig import KubeRig, kube_rig
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette.models import JobState
from vidette_controller.apply import Applier
from vidette_controller.checks import Policy
from vidette_controller.launch import Template, launch_of
from vidette_controller.plan import plan
from vidette_core.settings import TokenSettings
from vidette_core.tokens import Tokens

FRAMES = 300
TEMPLATE = Template("http://gateway", "triton:1", {})
POLICY = Policy(3, 20, 4, timedelta(minutes=5), timedelta(hours=24))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def all_there(through: Client, job_id: UUID) -> None:
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_controller_dies_between_making_the_job_and_noting_it(
    vidette: Installation, through: Client, clip: Path
) -> None:
    vidette.scale("vidette-controller", 0)
    try:
        job_id = through.submit(clip, PIPELINE_ID)
        died = subprocess.run(
            [sys.executable, str(Path(dying_controller.__file__))],
            env=vidette.controller_outside(),
            timeout=60,
            capture_output=True,
        )
        assert died.returncode == dying_controller.DIED, died.stderr.decode()
        (job,) = vidette.jobs(job_id)
    finally:
        vidette.scale("vidette-controller", 1)
    all_there(through, job_id)
    assert [each["metadata"]["uid"] for each in vidette.jobs(job_id)] == [job["metadata"]["uid"]]
    assert vidette.jobs_given_pods(job_id) == [f"vidette-{job_id}-a1"]


def test_three_controllers_launch_each_video_once(vidette: Installation, through: Client, clip: Path) -> None:
    vidette.scale("vidette-controller", 3)
    try:
        jobs = [through.submit(clip, PIPELINE_ID) for _ in range(6)]
        for job_id in jobs:
            all_there(through, job_id)
    finally:
        vidette.scale("vidette-controller", 1)
    for job_id in jobs:
        assert vidette.jobs_given_pods(job_id) == [f"vidette-{job_id}-a1"]


def test_a_job_that_went_before_its_end_was_seen_is_completed_all_the_same(
    vidette: Installation, through: Client, clip: Path
) -> None:
    """Somebody's TTL of nothing on the Job, and no controller there when the worker ends."""
    job_id = through.submit(clip, PIPELINE_ID)
    name = f"vidette-{job_id}-a1"
    vidette.running_pod(job_id)
    vidette.kubectl("patch", "job", name, "--type=merge", "-p", json.dumps({"spec": {"ttlSecondsAfterFinished": 0}}))
    vidette.scale("vidette-controller", 0)
    try:
        eventually(lambda: not vidette.jobs(job_id), "the Job's own end")
        assert through.status(job_id).status is JobState.RUNNING
    finally:
        vidette.scale("vidette-controller", 1)
    all_there(through, job_id)
    assert vidette.jobs_given_pods(job_id) == [name], "what was committed needs no second attempt"


@pytest.mark.own_cluster
async def test_a_watch_that_tells_no_more_makes_nobody_give_a_job_up_or_keep_it(
    cluster: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    """The list is what the watches told last; a live look comes before anything that cannot be undone."""
    async with kube_rig(cluster, tmp_path) as rig, adapters(postgres_url) as db:
        tokens = Tokens(TokenSettings(secret=SecretStr("s" * 40)))
        applier = Applier(db.schedule, rig.launcher, tokens, TEMPLATE, 1.0, MANY_WORKERS)

        async def look() -> int:
            """One round, as the loop has it; the attempt afterwards."""
            launched = await rig.launcher.list()
            await applier.apply(plan((await db.schedule.snapshot()), launched, POLICY))
            return (await db.schedule.snapshot()).jobs[0].attempt

        job_id = await db.submit()
        await db.schedule.claim(PLENTY, lambda job, attempt: launch_of(TEMPLATE, job, attempt))
        await rig.stop_following()
        assert await look() == 1
        assert (await rig.launcher.get(f"vidette-{job_id}-a1")).job_id == job_id
        assert await rig.launcher.list() == [], "the list is from before"
        assert await look() == 1
        rig.follow()
        await until_listed(rig, 1)
        await rig.stop_following()
        await asyncio.to_thread(cluster.kubectl, "-n", rig.namespace, "delete", "job", f"vidette-{job_id}-a1")
        assert len(await rig.launcher.list()) == 1, "the list is from before"
        assert await look() == 1
        rig.follow()
        await until_listed(rig, 0)
        assert await look() == 2


async def until_listed(rig: KubeRig, number: int) -> None:
    async with asyncio.timeout(60):
        while len(await rig.launcher.list()) != number:
            await asyncio.sleep(0.1)
