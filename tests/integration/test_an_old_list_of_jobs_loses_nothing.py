"""What the list of launched jobs says may be old. Before an attempt is given up a live look has to say the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.support.jobs import MANY_WORKERS, PLENTY, Adapters, adapters
from vidette_controller.actions import CreateJob, NextAttempt
from vidette_controller.apply import Applier
from vidette_controller.launch import Template, launch_of
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.launcher import LaunchPhase, LaunchSpec
from vidette_core.settings import TokenSettings
from vidette_core.testing.launcher import FakeLauncher
from vidette_core.tokens import Tokens

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE = Template("http://gateway", "triton:1", {})


class Desk:
    """One job that runs, launched; and the hand that carries out what a planner might have decided."""

    def __init__(self, db: Adapters, job_id: UUID) -> None:
        self.db = db
        self.job_id = job_id
        self.launcher = FakeLauncher()
        self.name = launch_of(TEMPLATE, job_id, 1).name
        tokens = Tokens(TokenSettings(secret=SecretStr("s" * 40)))
        self.applier = Applier(db.schedule, self.launcher, tokens, TEMPLATE, 1.0, MANY_WORKERS)

    async def create(self) -> None:
        await self.applier.apply([CreateJob(self.job_id, 1, self.name, "yolo", BEGUN)])

    async def seen_next_attempt(self) -> NextAttempt:
        """As planned upon what is launched now."""
        seen = await self.launcher.get(self.name)
        return NextAttempt(self.job_id, 1, self.name, "for a test", True, seen.uid, seen)

    async def attempt(self) -> int:
        (job,) = (await self.db.schedule.snapshot()).jobs
        return job.attempt


@pytest.fixture
async def desk(postgres_url: str) -> AsyncIterator[Desk]:
    async with adapters(postgres_url) as db:
        job_id = await db.submit()
        await db.schedule.claim(PLENTY, lambda job, attempt: launch_of(TEMPLATE, job, attempt))
        yield Desk(db, job_id)


async def test_a_job_that_was_not_yet_in_the_list_is_not_replaced(desk: Desk) -> None:
    await desk.create()
    action = replace(await desk.seen_next_attempt(), seen=None)
    await desk.applier.apply([action])
    assert await desk.attempt() == 1


async def test_a_job_that_was_another_when_it_was_listed_is_not_replaced(desk: Desk) -> None:
    await desk.create()
    action = await desk.seen_next_attempt()
    assert action.seen is not None
    await desk.applier.apply([replace(action, seen=replace(action.seen, phase=LaunchPhase.FAILED))])
    assert await desk.attempt() == 1


@pytest.mark.parametrize("lost", ["gone", "made anew", "ended"])
async def test_a_job_that_really_cannot_go_on_is_replaced(desk: Desk, lost: str) -> None:
    await desk.create()
    action = replace(await desk.seen_next_attempt(), seen=None)
    if lost == "ended":
        desk.launcher.end_pod(desk.name, WorkerExit.BAD_INPUT)
        action = await desk.seen_next_attempt()
    else:
        desk.launcher.lose(desk.name)
        if lost == "made anew":
            await desk.launcher.create(LaunchSpec(desk.name, desk.job_id, 1, "by hand", {}))
    await desk.applier.apply([action])
    assert await desk.attempt() == 2


async def test_a_name_that_a_stranger_has_taken_is_told_and_never_adopted(desk: Desk) -> None:
    await desk.launcher.create(LaunchSpec(desk.name, UUID(int=9), 1, "a stranger's", {}))
    with capture_logs() as told:
        await desk.create()
        await desk.create()
    assert ["not ours" in line["error"] for line in told] == [True], "and not tried again at once"
    (job,) = (await desk.db.schedule.snapshot()).jobs
    assert job.launch_uid is None


async def test_a_launch_that_is_refused_for_too_long_fails_the_job(desk: Desk) -> None:
    await desk.launcher.create(LaunchSpec(desk.name, UUID(int=9), 1, "a stranger's", {}))
    tokens = Tokens(TokenSettings(secret=SecretStr("s" * 40)))
    impatient = Applier(desk.db.schedule, desk.launcher, tokens, TEMPLATE, 1.0, MANY_WORKERS, refused_patience_s=0.5)
    create = CreateJob(desk.job_id, 1, desk.name, "yolo", BEGUN)
    assert await impatient.apply([create]) == []
    assert len((await desk.db.schedule.snapshot()).jobs) == 1
    await asyncio.sleep(1.1)  # the first pause between two tries
    await impatient.apply([create])
    assert (await desk.db.schedule.snapshot()).jobs == ()
