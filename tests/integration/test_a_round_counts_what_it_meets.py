"""What a round of the controller tells Prometheus of launched jobs: those that cannot start, and that nobody could be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from tests.support.jobs import MANY_WORKERS, adapters
from vidette_controller.apply import Applier
from vidette_controller.launch import Template
from vidette_controller.loop import Controller
from vidette_controller.settings import ControllerSettings
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase
from vidette_core.settings import LeaseSettings, TokenSettings, WakeupSettings
from vidette_core.telemetry.metrics import REGISTRIES, Service
from vidette_core.testing.launcher import FakeLauncher
from vidette_core.tokens import Tokens


class Registry(FakeLauncher):
    """A launcher whose pods wait for their image until it is there."""

    image_is_there = False

    async def list(self) -> list[LaunchedJob]:
        jobs = await super().list()
        return jobs if self.image_is_there else [_waiting(job) for job in jobs]


def _waiting(job: LaunchedJob) -> LaunchedJob:
    made = job.created_at - timedelta(minutes=1)
    pods = tuple(replace(pod, created_at=made, reason="ImagePullBackOff", message="Back-off") for pod in job.pods)
    return replace(job, phase=LaunchPhase.PENDING, pods=pods)


@dataclass(frozen=True, slots=True)
class Scene:
    """Two jobs, launched, whose pods wait for their image."""

    controller: Controller
    launcher: Registry


@pytest.fixture
async def scene(postgres_url: str) -> AsyncIterator[Scene]:
    launcher, wakeup = Registry(), NatsWakeup(WakeupSettings(url=SecretStr("nats://127.0.0.1:1"), timeout_s=0.1))
    tokens, template = Tokens(TokenSettings(secret=SecretStr("s" * 40))), Template("http://gateway", "triton:1", {})
    async with adapters(postgres_url) as db:
        applier = Applier(db.schedule, launcher, tokens, template, 1.0, MANY_WORKERS)
        controller = Controller(db.schedule, launcher, wakeup, applier, template, ControllerSettings(), LeaseSettings())
        for _ in range(2):
            await db.submit()
        await controller.tick()
        yield Scene(controller, launcher)
    await wakeup.close()


def shown(name: str, **labels: str) -> float | None:
    return REGISTRIES[Service.CONTROLLER].get_sample_value(name, labels)


async def test_jobs_that_cannot_start_are_counted_at_every_round_until_they_can(scene: Scene) -> None:
    for _ in range(3):
        await scene.controller.tick()
        assert shown("vidette_jobs_not_starting", finding="image_pull") == 2
        assert shown("vidette_jobs_not_starting", finding="no_gpu") == 0
    scene.launcher.image_is_there = True
    await scene.controller.tick()
    assert shown("vidette_jobs_not_starting", finding="image_pull") == 0


async def test_a_round_in_which_the_launcher_is_away_is_counted_and_forgets_nothing(scene: Scene) -> None:
    await scene.controller.tick()
    told, before = list(scene.launcher.notes), shown("vidette_controller_launcher_unavailable_total") or 0
    scene.launcher.available = False
    await scene.controller.tick()
    assert shown("vidette_controller_launcher_unavailable_total") == before + 1
    assert shown("vidette_jobs_not_starting", finding="image_pull") == 2
    scene.launcher.available = True
    await scene.controller.tick()
    assert scene.launcher.notes == told
