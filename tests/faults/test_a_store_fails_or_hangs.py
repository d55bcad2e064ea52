"""A store that answers 500 for a while, and one that takes requests and never answers: nothing is lost, and nobody hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.clips import numbered_clip
from tests.support.processes import wait_until
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from tests.support.store_way import StoreWay, Weather, stack_before_a_store
from vidette.client import Client
from vidette.errors import VidetteError
from vidette.retry import RetryPolicy
from vidette_local.stack_process import StackProcess

FRAMES = 800
UNDER_WAY = progress_between(0.05, 0.8)
SOON_S = 15.0
"""For an answer to a client, whatever the store does."""
BAD = pytest.mark.parametrize("weather", [Weather.ERRORS, Weather.SILENCE])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture(scope="module")
def before_a_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StackProcess, StoreWay]]:
    with stack_before_a_store(tmp_path_factory.mktemp("store"), VIDETTE_RESULTS_WAIT_S="5") as both:
        yield both


@pytest.fixture
def way(before_a_store: tuple[StackProcess, StoreWay]) -> Iterator[StoreWay]:
    _, way = before_a_store
    yield way
    way.be(Weather.FINE)


@pytest.fixture
def impatient(before_a_store: tuple[StackProcess, StoreWay]) -> Iterator[Client]:
    """A client that repeats nothing."""
    with Client(before_a_store[0].url, retries=RetryPolicy(attempts=1)) as made:
        yield made


def finished(client: Client, clip: Path) -> UUID:
    job_id = client.submit(clip, PIPELINE_ID, max_frames=30)
    completed(client, job_id)
    return job_id


@BAD
def test_clients_are_told_to_come_again_soon_and_get_everything_then(
    weather: Weather, impatient: Client, way: StoreWay, clip: Path
) -> None:
    job_id = finished(impatient, clip)
    way.be(weather)
    for ask in (lambda: impatient.submit(clip, PIPELINE_ID), lambda: list(impatient.results(job_id))):
        began = time.monotonic()
        with pytest.raises(VidetteError) as caught:
            ask()
        assert time.monotonic() - began < SOON_S
        assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
        assert caught.value.retry_after == 5
    assert impatient.status(job_id).progress == 1.0
    way.be(Weather.FINE)
    assert numbers(list(impatient.results(job_id))) == [(index, index) for index in range(30)]
    assert numbers(completed(impatient, impatient.submit(clip, PIPELINE_ID, max_frames=30)))[-1] == (29, 29)


@BAD
def test_a_job_under_way_waits_for_the_store_and_completes(
    weather: Weather, impatient: Client, way: StoreWay, clip: Path
) -> None:
    job_id = impatient.submit(clip, PIPELINE_ID)
    until(impatient, job_id, UNDER_WAY)
    met = way.answered + way.swallowed
    way.be(weather)
    wait_until(lambda: way.answered + way.swallowed > met, 20, "a worker has met the store")
    time.sleep(5)
    assert impatient.status(job_id).status == "running"
    way.be(Weather.FINE)
    assert numbers(completed(impatient, job_id)) == [(index, index) for index in range(FRAMES)]
