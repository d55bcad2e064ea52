"""A worker end to end against the slower of its two halves alone: decoding, and Triton. On the same clip, in turn.

    .venv/bin/python -m tests.bench.worker [rounds]

Twice: with a detector on every frame of a small clip, where Triton sets the pace, and on every tenth frame of a 1080p clip,
where decoding does. The CPU time that a frame takes of every process is shown too: on a machine without a GPU all share the
same cores, so that no overlap can be quicker than `cores ÷ CPU time of a frame`, and that bound is shown beside the target.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.clips import write_demo_clip
from tests.bench.figures import Spread, interleaved, ratio, report
from tests.bench.installation import scratch
from tests.bench.one_worker import Worked, Workplace, workplace
from vidette_core.settings import WorkerTuning

_ROOT = Path(__file__).parents[2]
_PIPELINE = "yolo"


@dataclass(frozen=True, slots=True)
class Setting:
    """A clip, and which of its frames are analysed."""

    name: str
    size: tuple[int, int] | None
    frames: int
    stride: int

    @property
    def samples(self) -> int:
        return -(-self.frames // self.stride)


SETTINGS = (
    Setting("detector-bound: every frame of 640x360", None, 2000, 1),
    Setting("decode-bound: every 10th frame of 1080p", (1920, 1080), 1500, 10),
)


class Measures:
    """Of one setting; all in sampled frames a second."""

    def __init__(self, place: Workplace, setting: Setting) -> None:
        self._place = place
        self._setting = setting
        self._clip = place.installed.folder / f"{setting.stride}.mp4"
        write_demo_clip(self._clip, setting.frames, setting.size)
        place.installed.upload(self._clip, f"bench/{self._clip.name}")
        self.worked: list[Worked] = []
        self.cpu_ms: dict[str, list[float]] = {"decode": [], "detect": []}

    def worker(self) -> float:
        worked = self._place.work(
            self._clip, _PIPELINE, self._setting.samples, {}, frame_stride=str(self._setting.stride)
        )
        self.worked.append(worked)
        return worked.frames_per_second

    def decode(self) -> float:
        url = self._place.installed.presigned(f"bench/{self._clip.name}")
        return self._alone("decode", url, str(self._setting.stride))

    def detect(self) -> float:
        catalog = str(self._place.triton.repository / "catalog.json")
        in_flight = str(WorkerTuning().in_flight)
        stride, samples = str(self._setting.stride), str(self._setting.samples)
        return self._alone(
            "detect", self._place.triton.url, catalog, _PIPELINE, str(self._clip), in_flight, stride, samples
        )

    def _alone(self, what: str, *arguments: str) -> float:
        command = [sys.executable, "-m", "tests.bench.alone", what, *arguments]
        done = subprocess.run(
            command, cwd=_ROOT, env=self._place.environment(), check=True, capture_output=True, timeout=900
        )
        frames_per_second, cpu_ms = map(float, done.stdout.split())
        self.cpu_ms[what].append(cpu_ms)
        return frames_per_second


def _mean(worked: list[Worked], what: Callable[[Worked], float]) -> float:
    return sum(map(what, worked)) / len(worked)


def measure(place: Workplace, setting: Setting, rounds: int) -> None:
    measures = Measures(place, setting)
    worker, decode, detect = interleaved(
        rounds, {"worker": measures.worker, "decode alone": measures.decode, "Triton alone": measures.detect}
    ).values()
    slower = [min(pair) for pair in zip(decode, detect, strict=True)]
    cpu_ms = _mean(measures.worked, lambda worked: worked.cpu_ms)
    possible = [(os.cpu_count() or 1) * 1000 / worked.cpu_ms for worked in measures.worked]
    report(
        f"worker, {setting.name}, {rounds} rounds",
        {
            "worker, frames/s": Spread.of(worker),
            "decode alone, frames/s": Spread.of(decode),
            "Triton alone, frames/s": Spread.of(detect),
            "worker ÷ slower of both (≥ 0.85)": ratio(worker, slower),
            "worker ÷ what the cores can do": ratio(worker, possible),
            "what the cores can do ÷ slower of both": ratio(possible, slower),
            "CPU ms a frame: worker": _mean(measures.worked, lambda worked: worked.worker_cpu_ms),
            "CPU ms a frame: decoding alone": Spread.of(measures.cpu_ms["decode"]),
            "CPU ms a frame: client of Triton alone": Spread.of(measures.cpu_ms["detect"]),
            "CPU ms a frame: Triton": _mean(measures.worked, lambda worked: worked.triton_cpu_ms),
            "CPU ms a frame: api and servers": _mean(measures.worked, lambda worked: worked.servers_cpu_ms),
            "CPU ms a frame: all": cpu_ms,
        },
    )


def main(rounds: int) -> None:
    with scratch() as folder, workplace(folder) as place:
        for setting in SETTINGS:
            measure(place, setting, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
