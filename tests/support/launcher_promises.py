"""What every launcher promises, as tests that any module may take in: it brings a fixture `rig`.

from tests.support.launcher_promises import *
"""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol
from uuid import uuid4

import pytest

from vidette_core.ports.errors import Conflict, NotFound, Unavailable
from vidette_core.ports.launcher import LaunchedJob, Launcher, LaunchPhase, LaunchSpec

LIMIT = 20.0
BACKOFF_LIMIT = 2
"""Pods of a rig's job that may fail before it fails."""


class Rig(Protocol):
    """A launcher, and the test's hand on its pods and on its availability."""

    @property
    def launcher(self) -> Launcher: ...

    async def end_pod(self, job: str, exit_code: int) -> None: ...
    async def go_away(self) -> None: ...


def spec(name: str = "vidette-one-a1", workers: int = 1) -> LaunchSpec:
    return LaunchSpec(
        name=name,
        job_id=uuid4(),
        attempt=1,
        spec_hash="h",
        env={"TOLD": "openly"},
        secrets={"VIDETTE_JOB_TOKEN": "secret"},
        workers=workers,
    )


async def wait_for(rig: Rig, name: str, phase: LaunchPhase) -> LaunchedJob:
    async with asyncio.timeout(LIMIT):
        while (job := await rig.launcher.get(name)).phase is not phase:
            await asyncio.sleep(0.02)
    return job


async def wait_for_pods(rig: Rig, name: str, running: int, ended: int) -> LaunchedJob:
    async with asyncio.timeout(LIMIT):
        while True:
            job = await rig.launcher.get(name)
            codes = [pod.exit_code for pod in job.pods]
            if (codes.count(None), len(codes) - codes.count(None)) == (running, ended):
                return job
            await asyncio.sleep(0.02)


async def wait_until_listed(rig: Rig, *names: str) -> list[LaunchedJob]:
    """The list may be a moment old."""
    async with asyncio.timeout(LIMIT):
        while True:
            jobs = await rig.launcher.list()
            if {job.name for job in jobs} == set(names):
                return jobs
            await asyncio.sleep(0.02)


async def test_a_created_job_is_what_was_asked_for_and_runs(rig: Rig) -> None:
    asked = spec()
    created = await rig.launcher.create(asked)
    assert (created.name, created.job_id, created.attempt, created.spec_hash) == (asked.name, asked.job_id, 1, "h")
    assert created.created_at.tzinfo is not None
    running = await wait_for(rig, asked.name, LaunchPhase.RUNNING)
    assert running.uid == created.uid
    assert running.pods[0].name.startswith(asked.name)


async def test_a_name_is_given_once(rig: Rig) -> None:
    first = await rig.launcher.create(spec())
    with pytest.raises(Conflict):
        await rig.launcher.create(spec())
    assert [job.uid for job in await wait_until_listed(rig, first.name)] == [first.uid]


async def test_of_many_creations_at_once_one_wins(rig: Rig) -> None:
    outcomes = await asyncio.gather(*(rig.launcher.create(spec()) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, LaunchedJob) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7


async def test_an_unknown_name_is_not_found(rig: Rig) -> None:
    with pytest.raises(NotFound):
        await rig.launcher.get("vidette-nobody-a1")


async def test_all_jobs_are_listed(rig: Rig) -> None:
    assert await rig.launcher.list() == []
    for name in ("vidette-one-a1", "vidette-two-a1"):
        await rig.launcher.create(spec(name))
    await wait_until_listed(rig, "vidette-one-a1", "vidette-two-a1")


async def test_a_launcher_that_is_away_is_unavailable_and_never_empty(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    await rig.go_away()
    with pytest.raises(Unavailable):
        await rig.launcher.list()
    with pytest.raises(Unavailable):
        await rig.launcher.get(created.name)
    with pytest.raises(Unavailable):
        await rig.launcher.create(spec("vidette-two-a1"))
    with pytest.raises(Unavailable):
        await rig.launcher.delete(created.name, created.uid)


async def test_exit_zero_is_success(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 0)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.SUCCEEDED)
    assert [pod.exit_code for pod in job.pods] == [0]


async def test_a_failed_pod_is_replaced_by_another_one(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 75)
    job = await wait_for_pods(rig, "vidette-one-a1", running=1, ended=1)
    assert job.phase is LaunchPhase.RUNNING
    assert [pod.exit_code for pod in job.pods] == [75, None]
    assert len({pod.name for pod in job.pods}) == 2


async def test_a_death_by_signal_is_128_and_the_signal(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 128 + signal.SIGSEGV)
    job = await wait_for_pods(rig, "vidette-one-a1", running=1, ended=1)
    assert job.pods[0].exit_code == 139


async def test_bad_input_fails_the_job_at_once(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 42)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.FAILED)
    assert [pod.exit_code for pod in job.pods] == [42]


async def test_more_failures_than_the_limit_fail_the_job(rig: Rig) -> None:
    await rig.launcher.create(spec())
    for ended in range(BACKOFF_LIMIT + 1):
        await wait_for_pods(rig, "vidette-one-a1", running=1, ended=ended)
        await rig.end_pod("vidette-one-a1", 75)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.FAILED)
    assert [pod.exit_code for pod in job.pods] == [75] * (BACKOFF_LIMIT + 1)


async def test_as_many_workers_run_as_are_wanted_and_all_have_to_succeed(rig: Rig) -> None:
    await rig.launcher.create(spec(workers=2))
    job = await wait_for_pods(rig, "vidette-one-a1", running=2, ended=0)
    assert (job.workers, len({pod.name for pod in job.pods})) == (2, 2)
    await rig.end_pod("vidette-one-a1", 0)
    job = await wait_for_pods(rig, "vidette-one-a1", running=1, ended=1)
    assert job.phase is LaunchPhase.RUNNING
    await rig.end_pod("vidette-one-a1", 0)
    await wait_for(rig, "vidette-one-a1", LaunchPhase.SUCCEEDED)


async def test_a_job_grows_while_it_runs_and_never_shrinks(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    await wait_for_pods(rig, created.name, running=1, ended=0)
    await rig.launcher.grow(created.name, created.uid, 3)
    grown = await wait_for_pods(rig, created.name, running=3, ended=0)
    assert (grown.uid, grown.workers) == (created.uid, 3)
    await rig.launcher.grow(created.name, created.uid, 2)
    assert (await rig.launcher.get(created.name)).workers == 3
    await rig.end_pod(created.name, 75)
    await wait_for_pods(rig, created.name, running=3, ended=1)


async def test_bad_input_ends_the_other_workers_too(rig: Rig) -> None:
    await rig.launcher.create(spec(workers=3))
    await wait_for_pods(rig, "vidette-one-a1", running=3, ended=0)
    await rig.end_pod("vidette-one-a1", 42)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.FAILED)
    codes = [pod.exit_code for pod in job.pods]
    assert codes.count(42) == 1
    assert set(codes) <= {42, 143}, "told to end, or already forgotten, and none runs"


async def test_neither_another_job_nor_one_that_ended_grows(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    with pytest.raises(Conflict):
        await rig.launcher.grow(created.name, "somebody else's", 2)
    with pytest.raises(NotFound):
        await rig.launcher.grow("vidette-nobody-a1", created.uid, 2)
    await rig.end_pod(created.name, 0)
    await wait_for(rig, created.name, LaunchPhase.SUCCEEDED)
    with pytest.raises(Conflict):
        await rig.launcher.grow(created.name, created.uid, 2)


async def test_a_deleted_job_is_forgotten_and_its_name_free_again(rig: Rig) -> None:
    first = await rig.launcher.create(spec())
    await rig.launcher.delete(first.name, first.uid)
    await wait_until_listed(rig)
    second = await rig.launcher.create(spec())
    assert second.uid != first.uid


async def test_a_finished_job_stays_until_it_is_deleted(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    await rig.end_pod(created.name, 0)
    await wait_for(rig, created.name, LaunchPhase.SUCCEEDED)
    with pytest.raises(Conflict):
        await rig.launcher.create(spec())
    await rig.launcher.delete(created.name, created.uid)
    with pytest.raises(NotFound):
        await rig.launcher.get(created.name)


async def test_deleting_what_is_gone_is_fine(rig: Rig) -> None:
    await rig.launcher.delete("vidette-nobody-a1", "uid")


async def test_another_jobs_uid_deletes_nothing(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    with pytest.raises(Conflict):
        await rig.launcher.delete(created.name, "somebody else's")
    assert (await rig.launcher.get(created.name)).uid == created.uid


async def test_changes_wake_up_when_a_pod_ends(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await wait_for_pods(rig, "vidette-one-a1", running=1, ended=0)

    async def hear_of_success() -> None:
        async for _ in rig.launcher.changes():
            if (await rig.launcher.get("vidette-one-a1")).phase is LaunchPhase.SUCCEEDED:
                return

    async with asyncio.timeout(LIMIT):
        hearing = asyncio.create_task(hear_of_success())
        await rig.end_pod("vidette-one-a1", 0)
        await hearing


async def test_changes_go_on_while_the_launcher_is_away(rig: Rig) -> None:
    await rig.go_away()
    heard = 0
    async with asyncio.timeout(LIMIT):
        async for _ in rig.launcher.changes():
            heard += 1
            if heard == 2:
                return
