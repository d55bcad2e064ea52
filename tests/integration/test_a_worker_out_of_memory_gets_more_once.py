"""From the word `OOMKilled` to a second attempt with more memory, and from a second such word to the job's error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from tests.support.jobs import MANY_WORKERS, PLENTY, Adapters, adapters
from vidette_controller.actions import Action
from vidette_controller.apply import Applier
from vidette_controller.checks import Policy
from vidette_controller.launch import Template, launch_of
from vidette_controller.plan import plan
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.jobs import JobState
from vidette_core.ports.launcher import LaunchedJob, Pod
from vidette_core.settings import TokenSettings
from vidette_core.testing.launcher import FakeLauncher
from vidette_core.tokens import Tokens

TEMPLATE = Template("http://gateway", "triton:1", {})
POLICY = Policy(3, 20, 4, timedelta(minutes=5), timedelta(hours=24), can_have_more_memory=True)


class Rounds:
    """A controller's rounds over one job, where the launcher's list is told instead of asked for."""

    def __init__(self, db: Adapters, job_id: UUID) -> None:
        self.db = db
        self.job_id = job_id
        self.launcher = FakeLauncher()
        tokens = Tokens(TokenSettings(secret=SecretStr("s" * 40)))
        self._applier = Applier(db.schedule, self.launcher, tokens, TEMPLATE, 1.0, MANY_WORKERS)

    async def round(self, listed: Sequence[LaunchedJob]) -> list[Action]:
        actions = plan(await self.db.schedule.snapshot(), listed, POLICY)
        await self._applier.apply(actions)
        return actions

    async def out_of_memory(self) -> list[LaunchedJob]:
        """The list, in which every pod has been killed for its memory limit."""
        return [
            replace(job, pods=tuple(Pod(pod.name, 137, reason="OOMKilled") for pod in job.pods))
            for job in await self.launcher.list()
        ]


@pytest.fixture
async def rounds(postgres_url: str) -> AsyncIterator[Rounds]:
    async with adapters(postgres_url) as db:
        job_id = await db.submit()
        await db.schedule.claim(PLENTY, lambda job, attempt: launch_of(TEMPLATE, job, attempt))
        yield Rounds(db, job_id)


async def test_a_worker_out_of_memory_gets_more_once_and_then_the_job_fails_with_that_reason(rounds: Rounds) -> None:
    await rounds.round([])
    await rounds.round(await rounds.out_of_memory())
    await rounds.round(await rounds.launcher.list())
    assert [(spec.attempt, spec.more_memory) for spec in rounds.launcher.specs] == [(1, False), (2, True)]

    await rounds.round(await rounds.out_of_memory())
    job = await rounds.db.reader.job(rounds.job_id)
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem.code is ErrorCode.OUT_OF_MEMORY
