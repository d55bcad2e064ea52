"""What the segments of a two-hour video fetch, against its size: each reads the index, and little more than its own window.

    .venv/bin/python -m tests.bench.split_bytes [segments...]

The video is a minute of the demo's clip at the quality of a film, its packets repeated with later times, the index at the end
of the file. Each segment has a reader of its own, as a worker has, over real HTTP range requests, and decodes its window.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import av

from tests.bench.clips import demo_pictures
from tests.bench.figures import report
from tests.bench.installation import scratch
from tests.support.limits import LIMITS
from tests.support.range_server import RangeServer, range_server
from vidette_core.domain.containers import Container
from vidette_core.domain.planning import STRETCH_CHUNKS, Costs, Listed, Window, plan
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import RangeReader, Video
from vidette_models.demo.video import write_h264

MINUTES = 120
FRAMES_A_MINUTE = 1500
SAMPLING = Sampling()
"""Every frame: then decoding begins afresh most often, every 20 chunks, and reads again from the key frame before."""
CHUNK_FRAMES = 200
AT_ONCE = 2
LIKE_A_FILM = {"preset": "veryfast", "bf": "2", "g": "50", "crf": "8"}
"""Drawn scenes take a tenth of a film's bits at the usual quality, and then an index would look large beside them."""
NAME = "two-hours.mp4"


def lengthen(minute: Path, target: Path, times: int) -> None:
    """The packets of `minute` again and again, each time later."""
    with av.open(str(target), "w") as made:
        shift = 0
        for turn in range(times):
            with av.open(str(minute)) as source:
                stream = source.streams.video[0]
                if turn == 0:
                    copied = made.add_stream_from_template(stream)
                length = stream.duration or 0
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = copied
                    made.mux(packet)
                shift += length


def fetched(server: RangeServer, window: Window) -> tuple[int, int]:
    """Bytes that a worker of this window fetches, and frames that it finds."""
    with closing(RangeReader(lambda: server.url(NAME))) as source:
        video = Video(source, Container.MOV, LIMITS)
        stretch = STRETCH_CHUNKS * CHUNK_FRAMES
        frames = sum(1 for _ in video.frames(SAMPLING, window.first_sample, window.end_sample, stretch=stretch))
        return source.bytes_fetched, frames


def measure(server: RangeServer, segments: int) -> dict[str, object]:
    size = len(server.objects[NAME])
    with closing(RangeReader(lambda: server.url(NAME))) as source:
        listed = Video(source, Container.MOV, LIMITS).index.frame_count
        index_bytes = source.bytes_fetched
    made = plan(Listed(listed, True), SAMPLING, CHUNK_FRAMES, Costs(1.0, 1e-6), segments)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda window: fetched(server, window), made.windows))
    frames = sum(count for _, count in found)
    assert frames == made.expected_samples, f"{frames} frames of {made.expected_samples}"
    return {
        "size, MB": size / 1e6,
        "bit rate, Mbit/s": size * 8 / 1e6 / (MINUTES * 60),
        "frames": listed,
        "segments": len(made.windows),
        "what the index takes, MB": index_bytes / 1e6,
        "fetched by all, MB": sum(count for count, _ in found) / 1e6,
        "fetched ÷ size (≤ 1.15)": sum(count for count, _ in found) / size,
    }


def main(segments: Sequence[int]) -> None:
    with scratch() as folder, range_server() as server:
        minute, whole = folder / "minute.mp4", folder / NAME
        write_h264(minute, demo_pictures(FRAMES_A_MINUTE), options=LIKE_A_FILM)
        lengthen(minute, whole, MINUTES)
        server.objects[NAME] = whole.read_bytes()
        for count in segments:
            report(f"{MINUTES} minutes in {count} segments", measure(server, count))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [1, 8])
