"""One video on N workers against the same video on one: how much of N times the speed is left.

    .venv/bin/python -m tests.bench.many_workers [workers] [rounds]

The gateway, PostgreSQL, the store and the workers are the real ones. Triton is a stand-in that takes a fixed time for each
request and no CPU: on one machine real inference would share its cores among all workers, and nothing could be N times as
quick. So this shows what splitting itself costs: reading the index again, beginning before the window, claims and commits.
The time counts from the first claim to the last commit, without the start of Python and without the controller's second until
it has grown the job.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from tests.bench.clips import write_demo_clip
from tests.bench.figures import Spread, interleaved, ratio, report
from tests.bench.installation import Installation, installation, scratch
from tests.bench.one_worker import claim_all, told
from tests.bench.upload import submit
from tests.support.fixed_latency_triton import fixed_latency_triton
from vidette_controller.launch import Template, spec_of
from vidette_core.settings import WorkerTuning, as_environment
from vidette_local.child import Child, Command
from vidette_local.environment import POD_NAME, worker_environment
from vidette_local.stack import WORKER
from vidette_models.builtin import write_builtin

LATENCY_S = 0.2
FRAMES = 4000
CHUNK_FRAMES = 50
_LIMIT_S = 900.0


class Bench:
    def __init__(self, installed: Installation, triton: str, clip: Path) -> None:
        self._installed = installed
        self._triton = triton
        self._clip = clip

    def frames_per_second(self, workers: int) -> float:
        job_id = UUID(submit(self._installed.api.port, self._clip, "yolo", max_workers=str(workers)))
        template = Template(self._installed.api.gateway_url, self._triton, as_environment(WorkerTuning()))
        claim_all(self._installed, template)
        children = [self._start(template, job_id, number) for number in range(workers)]
        try:
            return FRAMES / self._seconds(job_id, children)
        finally:
            for child, _ in children:
                child.stop_blocking(5)

    def _start(self, template: Template, job_id: UUID, number: int) -> tuple[Child, Path]:
        spec = spec_of(template, self._installed.tokens(), job_id, 1, datetime.now(UTC))
        environment = worker_environment(os.environ, "bench")
        pod = {POD_NAME: f"{spec.name}-{number}"}
        log = self._installed.folder / f"{spec.name}-{number}.log"
        command = Command(WORKER, self._installed.folder, {**environment, **spec.env, **spec.secrets, **pod})
        return Child.start(command, log), log

    def _seconds(self, job_id: UUID, children: list[tuple[Child, Path]]) -> float:
        deadline = time.monotonic() + _LIMIT_S
        while not all(child.ended for child, _ in children):
            if time.monotonic() > deadline:
                raise RuntimeError(f"job {job_id} is not done after {_LIMIT_S} s")
            time.sleep(0.05)
        said = [each for _, log in children for each in told(log)]
        claimed = [at for event, at in said if event == "claimed"]
        finished = [at for event, at in said if event == "finished"]
        if not finished:
            raise RuntimeError(f"job {job_id} did not finish: {said}")
        return (max(finished) - min(claimed)).total_seconds()


def main(workers: int, rounds: int) -> None:
    with scratch() as folder, fixed_latency_triton(LATENCY_S) as triton:
        write_builtin(folder / "models")
        clip = folder / "clip.mp4"
        write_demo_clip(clip, FRAMES, (320, 180))
        free = {"VIDETTE_WORKER_START_S": "0.0001", "VIDETTE_MAX_WORKERS_PER_JOB": str(workers)}
        with installation(
            folder, folder / "models" / "catalog.json", VIDETTE_CHUNK_FRAMES=str(CHUNK_FRAMES), **free
        ) as installed:
            bench = Bench(installed, triton, clip)
            many, one = interleaved(
                rounds,
                {
                    f"{workers} workers": lambda: bench.frames_per_second(workers),
                    "one worker": lambda: bench.frames_per_second(1),
                },
            ).values()
    report(
        f"a video of {FRAMES} frames on {workers} workers, {rounds} rounds, Triton a stand-in of {LATENCY_S:g} s a request",
        {
            f"{workers} workers, frames/s": Spread.of(many),
            "one worker, frames/s": Spread.of(one),
            f"share of {workers} times as quick (≥ 0.9)": ratio(many, [workers * single for single in one]),
        },
    )


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] or ["4", "2"])))
