"""A video on which the decoder dies costs two workers and nothing else: the job fails as `invalid_video`, the stack goes on.

No video is known that kills FFmpeg, so workers of this stack have a decoder with a hole: a module that Python loads at its start
makes `AvReader.decode` read address 0 at the tenth packet, as a video that found such a hole would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.clips import numbered_clip
from tests.support.stacks import PIPELINE_ID, completed, numbers, stack_running, until
from vidette.client import Client
from vidette.models import JobState
from vidette_local.stack_process import StackProcess

DEADLY_PACKET = 10
HOLE = f"""
import ctypes, sys
from importlib.machinery import PathFinder

NAME = "vidette_frame_worker.video.av_reader"

class Hole:
    def find_spec(self, name, path, target=None):
        if name != NAME:
            return None
        spec = PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            decode = module.AvReader.decode
            def deadly(reader, packet, tag):
                if tag == {DEADLY_PACKET}:
                    ctypes.string_at(0)
                return decode(reader, packet, tag)
            module.AvReader.decode = deadly
        spec.loader.exec_module = exec_module
        return spec

if "vidette_frame_worker" in sys.orig_argv:
    sys.meta_path.insert(0, Hole())
"""


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    modules = tmp_path_factory.mktemp("modules")
    (modules / "sitecustomize.py").write_text(HOLE)
    with stack_running(tmp_path_factory.mktemp("holed"), PYTHONPATH=str(modules)) as running:
        yield running


@pytest.fixture
def client(holed: StackProcess) -> Iterator[Client]:
    with Client(holed.url) as made:
        yield made


def claims(stack: StackProcess, job_id: UUID) -> list[str]:
    """The logs of the workers that began on the job."""
    logs = {log.name: log.read_text().splitlines() for log in stack.home.logs.glob("worker-*.log")}
    return [name for name, lines in logs.items() for line in lines if "claimed" in line and str(job_id) in line]


def test_two_workers_die_of_it_and_the_job_fails_as_an_invalid_video(
    holed: StackProcess, client: Client, tmp_path: Path
) -> None:
    job_id = client.submit(numbered_clip(tmp_path, 30), PIPELINE_ID)
    status = until(client, job_id, lambda status: status.status is JobState.FAILED, timeout=150)
    assert status.error is not None
    assert (status.error.code, status.error.message) == (
        "invalid_video",
        "Decoding the video crashed the decoder more than once. The file is damaged or made to do harm.",
    )
    workers = claims(holed, job_id)
    assert len(workers) == len(set(workers)) == 2


def test_a_video_that_does_not_is_analysed_by_the_next_worker(client: Client, tmp_path: Path) -> None:
    rows = completed(client, client.submit(numbered_clip(tmp_path, DEADLY_PACKET), PIPELINE_ID))
    assert numbers(rows) == [(index, index) for index in range(DEADLY_PACKET)]
