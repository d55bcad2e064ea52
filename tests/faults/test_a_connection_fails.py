"""The connection between any two parts fails, in every way that one can: jobs and uploads under way end as they should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.support.clips import numbered_clip
from tests.support.impatient_clients import Answer, asking, uploading
from tests.support.processes import wait_until
from tests.support.proxied_stack import ProxiedStack, proxied_stack
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from tests.support.tcp_proxy import Mode
from tests.support.ways import Way
from vidette.client import Client
from vidette_local.parts.s3 import BUCKET

FRAMES = 240
UPLOADED = 5
UNDER_WAY = progress_between(0, 0.95)
FAULTS = {Mode.CUT: 0.5, Mode.SLOW: 1.0, Mode.HANG: 3.0, Mode.HALF_OPEN: 3.0, Mode.MUTE: 3.0}
"""For how many seconds, once somebody has met it: silence lasts longer than the services wait for each other here."""
LIMITS = {
    "VIDETTE_DATABASE_TIMEOUT_S": "2",
    "VIDETTE_STORE_TIMEOUT_S": "2",
    "VIDETTE_NATS_TIMEOUT_S": "1",
    "VIDETTE_UPLOAD_CHECK_S": "1",
    "VIDETTE_UPLOAD_IDLE_TIMEOUT_S": "2.5",
    "VIDETTE_UPLOAD_PART_BYTES": str(5 * 2**20),
    "VIDETTE_UPLOAD_HEARTBEAT_S": "1",
    "VIDETTE_RESULTS_WAIT_S": "2",
    "VIDETTE_INFERENCE_TIMEOUT_S": "2.5",
    "VIDETTE_SWEEP_S": "2",
    "VIDETTE_SWEEP_INTERVAL_S": "1",
    "VIDETTE_SWEEP_UPLOAD_SILENCE_S": "10",
    "VIDETTE_SWEEP_SETTLE_S": "60",
}
SOON_S = 15.0
"""For an answer, on a machine that has much else to do. What a client waits whose own connection fails is its own affair."""
UPLOAD_S = 40.0
HURRIED_S = 4.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedStack]:
    with proxied_stack(tmp_path_factory.mktemp("proxied"), **LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def client(stack: ProxiedStack) -> Iterator[Client]:
    """On the way that does not fail."""
    with Client(stack.url) as made:
        yield made


@pytest.fixture(scope="module")
def finished(client: Client, clip: Path) -> UUID:
    job_id = client.submit(clip, PIPELINE_ID, max_frames=UPLOADED)
    completed(client, job_id)
    return job_id


def rows(stack: ProxiedStack, statement: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(stack.database.replace("+asyncpg", ""), timeout=10, ssl=False)
        try:
            return list(await connection.fetch(statement, timeout=10))
        finally:
            await connection.close()

    return asyncio.run(ask())


def submitted(stack: ProxiedStack) -> set[UUID]:
    return {row["id"] for row in rows(stack, "SELECT id FROM jobs WHERE pipeline_digest IS NOT NULL")}


def let_writes_settle(stack: ProxiedStack) -> None:
    """As if an hour had passed: the sweeper looks after what has ended, where it would wait for writes under way to land."""
    rows(stack, "UPDATE jobs SET finished_at = finished_at - interval '1 hour' WHERE swept_at IS NULL")


def let_it_be_swept_again(stack: ProxiedStack, job_id: UUID) -> None:
    """So that the sweeper has something to ask the store for."""
    rows(stack, f"UPDATE jobs SET swept_at = NULL, finished_at = now() - interval '1 hour' WHERE id = '{job_id}'")


def open_uploads(stack: ProxiedStack) -> int:
    return len(stack.store.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def nothing_is_left(stack: ProxiedStack) -> bool:
    """Of uploads that came to nothing: no part in the store, and no row whose object the sweeper has yet to remove."""
    let_writes_settle(stack)
    unsettled = "SELECT 1 FROM jobs WHERE pipeline_digest IS NULL AND swept_at IS NULL"
    return not rows(stack, unsettled) and open_uploads(stack) == 0


def is_well(stack: ProxiedStack, service: str) -> bool:
    try:
        return httpx.get(stack.health[service], timeout=5, trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def is_explained(answer: Answer, way: Way) -> bool:
    if way is Way.CLIENT_API and (answer.status is None or answer.code == "upload_timeout"):
        return True
    limit = UPLOAD_S if answer.asked == "submit" else SOON_S
    return answer.seconds < limit and (answer.status == 200 or answer.says_come_again)


@pytest.mark.parametrize("mode", FAULTS)
@pytest.mark.parametrize("way", Way)
def test_a_job_and_an_upload_under_way_end_well_and_clients_are_told_to_come_again(
    way: Way, mode: Mode, stack: ProxiedStack, client: Client, clip: Path, finished: UUID
) -> None:
    proxy, url = stack.ways[way], stack.ways[Way.CLIENT_API].url
    asked = [f"/video/status/{finished}", f"/video/results/{finished}"]
    known = submitted(stack)
    patience = HURRIED_S if way is Way.CLIENT_API else UPLOAD_S
    with uploading(url, clip, UPLOADED, patience) as (upload, answer), asking(url, asked, patience) as clients:
        wait_until(lambda: open_uploads(stack) == 1, 20, "the upload is open in the store")
        job_id = client.submit(clip, PIPELINE_ID)
        until(client, job_id, UNDER_WAY)
        met = proxy.met
        with proxy.during(mode):
            upload.go_on()
            let_it_be_swept_again(stack, finished)
            wait_until(lambda: proxy.met > met, 20, f"somebody has met the bad way {way}")
            time.sleep(FAULTS[mode])
        over = time.monotonic()
        wait_until(lambda: clients.all_answered_since(over), 30, f"clients are answered again: {clients.answers[-6:]}")
    ending = answer.result(1)
    assert [one for one in [*clients.answers, ending] if not is_explained(one, way)] == []
    jobs = submitted(stack) - known
    assert job_id in jobs
    assert ending.status != 200 or len(jobs) == 2
    for one in jobs:
        frames = FRAMES if one == job_id else UPLOADED
        assert numbers(completed(client, one)) == [(index, index) for index in range(frames)]
    for service in stack.services:
        wait_until(lambda service=service: is_well(stack, service), 20, f"the {service} is well")  # type: ignore[misc]  # mypy cannot infer a lambda's default
    wait_until(lambda: nothing_is_left(stack), 30, "nothing is left of an upload")
