"""A worker whose wall clock is hours wrong, or jumps: leases are on the database's clock, and everything else on none."""

from __future__ import annotations

import ast
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import vidette_core
import vidette_frame_worker
from tests.support import shifted_clock
from tests.support.clips import numbered_clip
from tests.support.http_proxy import http_proxy
from tests.support.made_up_models import PIPELINE, MadeUpModels
from tests.support.processes import eventually
from tests.support.servers import StoreEndpoint
from tests.support.stand_in_triton import answers_of, stand_in_triton
from tests.support.worker_rig import CHUNK_FRAMES, Rig, worker_rig
from vidette_core.domain.worker_api import WorkerExit

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRAMES = 2 * CHUNK_FRAMES
LEASE_S = 3.0
HOURS = 5
FOLDER = next(iter(shifted_clock.__path__))
CLOCKS = {
    "hours ahead": {"TEST_CLOCK_SHIFT_S": str(HOURS * 3600)},
    "hours behind": {"TEST_CLOCK_SHIFT_S": str(-HOURS * 3600)},
    "jumps by hours": {"TEST_CLOCK_SHIFT_S": str(HOURS * 3600), "TEST_CLOCK_JUMPS": "1"},
}
READS_A_CLOCK = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}
NOT_OF_WORKERS = {
    "adapters/kube/launcher.py",  # the controller's: how old an event of Kubernetes is
    "testing/launcher.py",
    "tokens.py",  # the api's: it makes a session token's end, and reads it
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES).read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Rig]:
    async with worker_rig(module_postgres_url, s3, lease_s=LEASE_S) as made:
        yield made


def slowly(request: Any) -> Any:
    """A lease has to be renewed several times in the course of a job."""
    if request.model_name == "objects":
        time.sleep(LEASE_S / 4)
    return answers_of(MadeUpModels())(request)


@pytest.mark.parametrize("clock", CLOCKS)
async def test_a_worker_with_a_wrong_clock_does_its_job_once_and_alone(
    clock: str, rig: Rig, clip: bytes, tmp_path: Path
) -> None:
    job_id, log = await rig.running_job(clip, PIPELINE), tmp_path / "log"
    with stand_in_triton(slowly) as triton, http_proxy(rig.gateway_url) as way:
        wrong = {"VIDETTE_GATEWAY_URL": way.url, "VIDETTE_IN_FLIGHT": "1", "PYTHONPATH": FOLDER, **CLOCKS[clock]}
        with rig.process(job_id, triton, "wrong", log, wrong) as worker:
            await eventually(
                lambda: b"claimed" in log.read_bytes(), 90, "the worker with the wrong clock holds the job"
            )
            right = rig.worker(job_id, MadeUpModels(), "right", {})
            await eventually(lambda: worker.poll() is not None, 120, "the worker with the wrong clock has ended")
            assert worker.returncode == WorkerExit.DONE, log.read_text()
        assert (await right).code == WorkerExit.DONE
        asked = Counter(request.path for request in way.seen)
    assert await rig.finish(job_id) == "completed"
    assert [row["frame_index"] for row in await rig.rows(job_id)] == list(range(FRAMES))
    (segment,) = await rig.segments(job_id)
    assert (segment.epoch, segment.holder) == (1, "wrong")
    # It believed neither its lease nor its addresses to have run out, and did renew.
    assert asked["/v1/renew"] > FRAMES / 4
    assert (asked["/v1/source"], asked["/v1/chunks"]) == (1, 2)
    assert all(abs(abs(wrong_by) - timedelta(hours=HOURS)) < timedelta(minutes=5) for wrong_by in clock_errors(log))


def clock_errors(log: Path) -> list[timedelta]:
    """By how much the lines of the log are wrong; that they are shows that the worker's clock was."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    errors = [datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC) for line in lines]
    assert len(errors) >= 2
    return errors


async def test_no_decision_of_a_worker_reads_the_wall_clock() -> None:
    for package, known in ((vidette_frame_worker, set[str]()), (vidette_core, NOT_OF_WORKERS)):
        (folder,) = map(Path, package.__path__)
        found = {str(path.relative_to(folder)) for path in folder.rglob("*.py") if reads_the_wall_clock(path)}
        assert found == known


def reads_the_wall_clock(path: Path) -> bool:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)]
    return any((call.value.id, call.attr) in READS_A_CLOCK for call in named if isinstance(call.value, ast.Name))
