"""A worker against the naive loop on a clip with text: the same models, every frame read anew by both.

    .venv/bin/python -m tests.bench.naive [frames] [rounds]

The loop has the machine to itself while it runs, and so has the worker. See `naive_loop` for what it does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Spread, interleaved, ratio, report
from tests.bench.installation import scratch
from tests.bench.one_worker import Worked, workplace
from tests.support.triton import TritonServer
from vidette_core.domain.pipelines import Detector
from vidette_models.demo.sample import sample_path

_ROOT = Path(__file__).parents[2]
_PIPELINE = "yolo_ocr"


def naive_loop(triton: TritonServer, detector: Detector, frames: int) -> float:
    """Frames a second of the loop, in a process with the environment of this one."""
    model = triton.repository / detector.model.name / str(detector.model.version) / "model.onnx"
    command = [sys.executable, "-m", "tests.bench.naive_loop", str(sample_path()), str(model)]
    done = subprocess.run(
        [*command, str(detector.size), str(frames)], cwd=_ROOT, check=True, capture_output=True, timeout=1800
    )
    return float(done.stdout.split()[-1])


def main(frames: int, rounds: int) -> None:
    with scratch() as folder, workplace(folder) as place:
        pipeline = place.catalog.get(_PIPELINE)
        assert pipeline is not None, "it is built in"
        detector = pipeline.detector
        assert detector is not None, "it has both"
        worked: list[Worked] = []

        def worker() -> float:
            worked.append(
                place.work(sample_path(), _PIPELINE, frames, {"VIDETTE_TEXT_REUSE": "false"}, max_frames=str(frames))
            )
            return worked[-1].frames_per_second

        ours, naive = interleaved(
            rounds, {"worker": worker, "naive loop": lambda: naive_loop(place.triton, detector, frames)}
        ).values()
        report(
            f"worker and naive loop, {frames} frames with text, {rounds} rounds",
            {
                "worker, frames/s": Spread.of(ours),
                "naive loop, frames/s": Spread.of(naive),
                "worker ÷ naive loop (≥ 1.2)": ratio(ours, naive),
                "CPU ms a frame: worker": sum(each.worker_cpu_ms for each in worked) / rounds,
                "CPU ms a frame: Triton": sum(each.triton_cpu_ms for each in worked) / rounds,
            },
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*(given + [100, 3][len(given) :]))
