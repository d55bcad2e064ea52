"""Reusing text on real models and real H.264: the same text with far fewer readings, and the same bytes however it is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

from tests.support.caption_clips import write_caption_clip
from vidette_core.domain.pipelines import ModelRef, Pipeline, TextReader
from vidette_core.domain.results import FrameRow
from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.testing.onnx_inference import OnnxInference
from vidette_frame_worker.analysis import FrameAnalyser
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.video import DecodedFrame
from vidette_models.demo.video import read_rgb
from vidette_models.text_graphs import compose_text, find_sources

CHUNK_FRAMES = 8


@dataclass
class Chunks:
    """Takes commits and keeps them."""

    next_sample: int
    kept: list[tuple[ChunkMessage, bytes]] = field(default_factory=list)

    def __call__(self, chunk: ChunkMessage, content: bytes) -> int:
        self.kept.append((chunk, content))
        self.next_sample += chunk.ok
        return self.next_sample

    @property
    def rows(self) -> list[FrameRow]:
        lines = [line for _, content in self.kept for line in zstandard.decompress(content).splitlines()]
        return [FrameRow.model_validate_json(line) for line in lines]

    @property
    def read(self) -> int:
        return sum(chunk.lines_read for chunk, _ in self.kept)

    @property
    def reused(self) -> int:
        return sum(chunk.lines_reused for chunk, _ in self.kept)


class Free:
    """A lease that always holds."""

    samples = 0

    def check(self) -> None:
        return


@pytest.fixture(scope="module")
def analyser(tmp_path_factory: pytest.TempPathFactory) -> FrameAnalyser:
    repository, graphs = tmp_path_factory.mktemp("models"), compose_text(find_sources())
    for name, model in (("detection", graphs.detection), ("recognition", graphs.recognition)):
        path = repository / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(model)
    detection, recognition = (
        ModelRef(name=name, version=1, digest="sha256:" + "0" * 64) for name in ("detection", "recognition")
    )
    reader = TextReader(detection=detection, recognition=recognition, alphabet=graphs.alphabet)
    pipeline = Pipeline(id="ocr", description="", detector=None, text=reader)
    return FrameAnalyser(pipeline, OnnxInference(repository), 5)


def frames(clip: Path, first: int) -> Iterator[DecodedFrame]:
    for sample, image in enumerate(read_rgb(clip)):
        if sample >= first:
            yield DecodedFrame(sample, sample, sample * 40.0, image, None)


def run(clip: Path, analyser: FrameAnalyser, in_flight: int, *, first: int = 0, text_reuse: bool = True) -> Chunks:
    chunks, pace = Chunks(first), Pace(decoded_ahead=4, in_flight=in_flight)
    run_segment(frames(clip, first), first, CHUNK_FRAMES, analyser, chunks, Free(), pace, text_reuse=text_reuse)
    return chunks


@pytest.mark.parametrize(("kind", "count", "times"), [("still", 16, 4), ("moving", 12, 2), ("ticker", 10, 1)])
@pytest.mark.timeout(600)
def test_the_text_is_the_same_as_when_every_line_is_read(
    kind: str, count: int, times: int, analyser: FrameAnalyser, tmp_path: Path
) -> None:
    clip = write_caption_clip(tmp_path / f"{kind}.mp4", kind, count)
    fresh, reused = run(clip, analyser, 2, text_reuse=False), run(clip, analyser, 8)
    assert [row.result.text for row in reused.rows] == [row.result.text for row in fresh.rows]
    assert all(row.result.text for row in reused.rows)
    assert (fresh.reused, reused.read + reused.reused) == (0, fresh.read)
    # Few times, since the clips are a chunk or two of a codec's first frames, its noisiest: tests.bench.text_reuse has long ones.
    assert fresh.read >= times * reused.read

    assert run(clip, analyser, 1).kept == reused.kept
    assert run(clip, analyser, 3, first=CHUNK_FRAMES).kept == reused.kept[1:]
