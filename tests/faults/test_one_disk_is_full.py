"""The disk of PostgreSQL alone is full, or that of the store alone: what needs it may come again, jobs wait and complete."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.clips import numbered_clip
from tests.support.code_reader import add_code_pipeline
from tests.support.processes import wait_until
from tests.support.small_disk import SmallDisk, fill, small_disks
from tests.support.stacks import HASTE, PIPELINE_ID, completed, free_port, numbers, progress_between, until
from tests.support.stand_in_triton import answers_of, stand_in_triton
from vidette.client import Client
from vidette.errors import JobOver, VidetteError
from vidette.retry import RetryPolicy
from vidette_core.testing.onnx_inference import OnnxInference
from vidette_local.settings import PartName
from vidette_local.stack_process import UP, StackProcess

pytestmark = pytest.mark.timeout(600)
FRAMES = 900
A_FEW = 20
UNDER_WAY = progress_between(0.02, 0.6)
MEBIBYTES = {"postgres": 250, "s3": 60}
"""Both begin with half of it free."""
SOON = {"VIDETTE_STORE_TIMEOUT_S": "5", "VIDETTE_STORE_COMPLETE_TIMEOUT_S": "10"}
"""A store on a full disk lets its clients wait."""
MOST_TRIES = 60
"""A submission takes a kilobyte or two of a page of eight, and a page may be free in each of a dozen files."""


@dataclass(frozen=True, slots=True)
class Cramped:
    stack: StackProcess
    disks: Mapping[str, SmallDisk]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cramped]:
    """A stack in which each of the two has a disk of its own. What they hold is made on a large one, and moved.

    Triton is a stand-in: it is not what this is about.
    """
    folder = tmp_path_factory.mktemp("disks")
    home = folder / "home"
    only = {"VIDETTE_PARTS": ",".join(MEBIBYTES)}
    with StackProcess(home, only, start_seconds=300, messages=folder / "said-first"):
        pass
    for name in MEBIBYTES:
        (home / name).rename(folder / name)
    add_code_pipeline(home / "models")
    picked = home / "ports.json"
    picked.unlink()
    with small_disks({home / name: size for name, size in MEBIBYTES.items()}) as made:
        disks = dict(zip(MEBIBYTES, made, strict=True))
        for name, disk in disks.items():
            shutil.copytree(folder / name, disk.seen, dirs_exist_ok=True)
        parts = ",".join(name for name in PartName if name is not PartName.TRITON)
        settings = {**HASTE, **SOON, "VIDETTE_HTTP_PORT": str(free_port()), "VIDETTE_PARTS": parts}
        argv = [*made[0].enter, *UP]
        stack = StackProcess(home, settings, start_seconds=300, messages=folder / "said", argv=argv)
        try:
            stack.launch()
            wait_until(picked.exists, 60, "the stack has picked its ports")
            port = json.loads(picked.read_text())["triton"]
            with stand_in_triton(answers_of(OnnxInference(home / "models")), port):
                stack.url = stack.wait_ready()
                yield Cramped(stack, disks)
        finally:
            stack.stop()


@pytest.mark.parametrize(
    ("part", "code"),
    [("postgres", "database_unavailable"), ("s3", "store_unavailable")],
    ids=["PostgreSQL", "the store"],
)
def test_uploads_may_come_again_and_jobs_wait_and_complete_when_there_is_room(
    part: str, code: str, cramped: Cramped, clip: Path
) -> None:
    with Client(cramped.stack.url, retries=RetryPolicy(attempts=1)) as client:
        earlier = client.submit(clip, PIPELINE_ID, max_frames=A_FEW)
        completed(client, earlier)
        job_id = client.submit(clip, PIPELINE_ID)
        until(client, job_id, UNDER_WAY)
        filler = fill(cramped.disks[part].seen)
        try:
            accepted, refusals = submit_until_refused(client, clip)
        finally:
            filler.unlink()
        assert {refusal.code for refusal in refusals} == {code}
        assert {(refusal.status_code, refusal.retry_after) for refusal in refusals} == {(503, 5)}
    with Client(cramped.stack.url) as patient:
        assert numbers(completed(patient, job_id)) == [(index, index) for index in range(FRAMES)]
        for more in accepted[:-2]:  # a worker each takes its time, and they are all alike
            with suppress(JobOver):
                patient.cancel(more)
        last = patient.submit(clip, PIPELINE_ID, max_frames=A_FEW)
        for few in (earlier, *accepted[-2:], last):
            assert numbers(completed(patient, few)) == [(index, index) for index in range(A_FEW)]


def submit_until_refused(client: Client, clip: Path) -> tuple[list[UUID], list[VidetteError]]:
    """Three refusals, and what was accepted before and between them: a little may fit into what is there already."""
    accepted: list[UUID] = []
    refusals: list[VidetteError] = []
    for _ in range(MOST_TRIES):
        try:
            accepted.append(client.submit(clip, PIPELINE_ID, max_frames=A_FEW))
        except VidetteError as refusal:
            refusals.append(refusal)
            time.sleep(1)
        if len(refusals) == 3:
            return accepted, refusals
    raise AssertionError(f"{len(accepted)} submissions fitted on a full disk, {len(refusals)} were refused")
