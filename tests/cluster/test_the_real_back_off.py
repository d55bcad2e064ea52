"""Elsewhere in the tests the job controller replaces a failed pod at once. Here it waits as every other does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.clips import numbered_clip
from tests.support.installation import Installation, eventually
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from vidette.client import Client

pytestmark = pytest.mark.own_cluster

FRAMES = 900
PAUSE_S = 10.0
"""kubernetes/pkg/controller/job/backoff_utils.go: 10 s after the first failure of an index, then twice as long each time."""


@pytest.fixture
def waiting_controller(vidette: Installation) -> Iterator[None]:
    part = "kube-controller-manager"
    vidette.cluster.command("stop", part)
    vidette.cluster.command("start", part, "--backoff", "real")
    yield
    vidette.cluster.command("stop", part)
    vidette.cluster.command("start", part, "--backoff", "short")


@pytest.mark.usefixtures("waiting_controller")
def test_a_killed_worker_is_replaced_after_the_pause_that_kubernetes_makes(
    vidette: Installation, through: Client, tmp_path: Path
) -> None:
    job_id = through.submit(numbered_clip(tmp_path, FRAMES), PIPELINE_ID)
    until(through, job_id, progress_between(0.02, 0.8))
    first = vidette.running_pod(job_id)
    vidette.kill_worker(first)
    ended = eventually(lambda: moment(vidette, job_id, first, "finishedAt"), "the end of the first pod")
    second = vidette.running_pod(job_id, other_than=first)
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
    started = moment(vidette, job_id, second, "startedAt")
    assert started is not None
    assert (started - ended).total_seconds() >= PAUSE_S - 1, "its times are whole seconds"
    assert len(vidette.jobs(job_id)) == 1, "the Job went on by itself: it needed no other attempt"


def moment(vidette: Installation, job_id: UUID, pod: str, what: str) -> datetime | None:
    """When the pod's container started or finished, by its status."""
    for found in vidette.pods(job_id):
        for status in found["status"].get("containerStatuses", ()) if found["metadata"]["name"] == pod else ():
            for state in status["state"].values():
                if what in state:
                    return datetime.fromisoformat(state[what])
    return None
