"""Decoding alone, or Triton alone, as a process with a worker's environment. Prints frames a second, and this process's own CPU
milliseconds a frame.

    .venv/bin/python -m tests.bench.alone decode URL STRIDE
    .venv/bin/python -m tests.bench.alone detect TRITON_URL CATALOG PIPELINE CLIP IN_FLIGHT STRIDE FRAMES

`decode` reads the video through the worker's own `Video` over the same range reads. `detect` prepares what the detector is
asked for the clip's frames beforehand, and then sends it from as many threads as a worker has frames in flight.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.containers import Container
from vidette_core.domain.pipelines import Catalog
from vidette_core.domain.sampling import Sampling
from vidette_core.settings import VideoLimitSettings
from vidette_frame_worker.letterbox import letterbox
from vidette_frame_worker.video import Limits, LocalFile, RangeReader, Video
from vidette_frame_worker.video.byte_source import ByteSource

_PREPARED = 400
"""Distinct requests kept: 120 MB. The clips repeat themselves after a hundred frames anyway."""


def _video(source: ByteSource) -> Video:
    return Video(source, Container.MOV, Limits.of(VideoLimitSettings()))


def decode(url: str, stride: str) -> tuple[float, float]:
    """From the first byte to the last frame, as a worker's time has it."""
    began, used = time.perf_counter(), time.process_time()
    with closing(RangeReader(lambda: url)) as source:
        frames = sum(1 for _ in _video(source).frames(Sampling(int(stride))))
    return frames / (time.perf_counter() - began), (time.process_time() - used) * 1000 / frames


def detect(
    triton: str, catalog: str, pipeline_id: str, clip: str, in_flight: str, stride: str, frames: str
) -> tuple[float, float]:
    pipeline = Catalog.model_validate_json(Path(catalog).read_bytes()).get(pipeline_id)
    if pipeline is None or pipeline.detector is None:
        raise ValueError(f"{pipeline_id} is no pipeline with a detector")
    detector, prepared = pipeline.detector, list[NDArray[np.uint8]]()
    with closing(LocalFile(Path(clip))) as file:
        for frame in islice(_video(file).frames(Sampling(int(stride))), _PREPARED):
            assert frame.image is not None, "the clip decodes"
            prepared.append(letterbox(frame.image, detector.size, detector.letterbox)[0][None])
    with TritonInference(triton) as inference, ThreadPoolExecutor(int(in_flight)) as pool:

        def ask(number: int) -> None:
            square = prepared[number % len(prepared)]
            inference.infer(detector.model, {"frames": square}, ("boxes", "scores", "classes"))

        list(pool.map(ask, range(20)))  # connects and warms up
        began, used = time.perf_counter(), time.process_time()
        list(pool.map(ask, range(int(frames))))
        return int(frames) / (time.perf_counter() - began), (time.process_time() - used) * 1000 / int(frames)


if __name__ == "__main__":
    doers: dict[str, Callable[..., tuple[float, float]]] = {"decode": decode, "detect": detect}
    print(*doers[sys.argv[1]](*sys.argv[2:]))
