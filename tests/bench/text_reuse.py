"""What reusing text saves: the worker's own stages against a real Triton, pipeline `ocr`, with reuse and without, in one run.

For each clip: strips recognised, pictures in which text was looked for, wall time, the ratio of each, and whether the text of
any frame differs between the two runs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zstandard

from tests.support.caption_clips import KINDS, write_caption_clip
from tests.support.limits import LIMITS
from tests.support.triton import triton_running, write_pipelines
from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.containers import Container
from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.pipelines import ModelRef, Pipeline
from vidette_core.domain.results import FrameRow
from vidette_core.domain.sampling import Sampling
from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.ports.inference import Inference, Tensor
from vidette_core.settings import WorkerTuning
from vidette_frame_worker.analysis import FrameAnalyser
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.video import Video
from vidette_frame_worker.video.byte_source import LocalFile

CHUNK_FRAMES = 200
"""The default of an installation."""


@dataclass
class Counting:
    """The Inference port around another: how many pictures and strips it was asked for."""

    inner: Inference
    asked: Counter[str] = field(default_factory=Counter)

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        self.asked[model.name] += len(next(iter(inputs.values())))
        return self.inner.infer(model, inputs, outputs)

    def is_live(self) -> bool:
        return self.inner.is_live()

    def is_ready(self, model: ModelRef) -> bool:
        return self.inner.is_ready(model)


@dataclass
class Ledger:
    """Takes commits, and keeps the rows and the counts."""

    rows: list[FrameRow] = field(default_factory=list)
    text: TextCounts = TextCounts()  # noqa: RUF009 - it is frozen

    def __call__(self, chunk: ChunkMessage, content: bytes) -> int:
        self.rows += [FrameRow.model_validate_json(line) for line in zstandard.decompress(content).splitlines()]
        self.text += TextCounts(chunk.lines_read, chunk.lines_reused)
        return len(self.rows)


class Free:
    """A lease that always holds."""

    samples = 0

    def check(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run over a clip."""

    rows: list[FrameRow]
    text: TextCounts
    strips: int
    pictures: int
    wall_s: float


def run(clip: Path, pipeline: Pipeline, inference: Inference, *, text_reuse: bool) -> Outcome:
    """The whole clip through the worker's stages, as one segment."""
    assert pipeline.text is not None
    counting, ledger, tuning = Counting(inference), Ledger(), WorkerTuning()
    began = time.perf_counter()
    with closing(LocalFile(clip)) as source:
        frames = Video(source, Container.MOV, LIMITS).frames(Sampling(1, None), 0)
        analyser = FrameAnalyser(pipeline, counting, tuning.patience_s)
        pace = Pace(tuning.decoded_ahead, tuning.in_flight)
        run_segment(frames, 0, CHUNK_FRAMES, analyser, ledger, Free(), pace, text_reuse=text_reuse)
    wall_s = time.perf_counter() - began
    strips, pictures = (counting.asked[model.name] for model in (pipeline.text.recognition, pipeline.text.detection))
    return Outcome(ledger.rows, ledger.text, strips, pictures, wall_s)


def report(kind: str, off: Outcome, on: Outcome) -> dict[str, object]:
    """The figures of one clip, for people and for machines."""
    pairs = list(zip(off.rows, on.rows, strict=True))
    alike = [(a.result.lines, b.result.lines) for a, b in pairs if len(a.result.lines) == len(b.result.lines)]
    moved = [
        float(np.abs(np.subtract(before.polygon, after.polygon)).max())
        for lines in alike
        for before, after in zip(*lines, strict=True)
    ]
    return {
        "clip": kind,
        "frames": len(on.rows),
        "lines": on.text.read + on.text.reused,
        "recognised_without": off.strips,
        "recognised_with": on.strips,
        "recognitions_ratio": round(off.strips / max(on.strips, 1), 1),
        "detections_with": on.pictures,
        "wall_without_s": round(off.wall_s, 1),
        "wall_with_s": round(on.wall_s, 1),
        "wall_ratio": round(off.wall_s / on.wall_s, 2),
        "frames_whose_text_differs": sum(a.result.text != b.result.text for a, b in pairs),
        "polygons_differ_by_px": max(moved, default=0.0),
    }


def main(frames: int, kinds: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline = write_pipelines(folder / "repository").get("ocr")
        assert pipeline is not None
        clips = {kind: write_caption_clip(folder / f"{kind}.mp4", kind, frames) for kind in kinds}
        with triton_running(folder / "triton", folder / "repository") as server, TritonInference(server.url) as triton:
            for kind, clip in clips.items():
                run(write_caption_clip(folder / "first.mp4", kind, 4), pipeline, triton, text_reuse=False)
                off, on = (run(clip, pipeline, triton, text_reuse=reuse) for reuse in (False, True))
                print(json.dumps(report(kind, off, on)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2:] or list(KINDS))
