"""One span for each chunk, from its first frame's analysis to its commit, whichever threads work on it.

A frame has none of its own, since a video has too many: two hundred for each chunk, by default, with several requests to Triton
in each, of which Triton makes three spans apiece.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from vidette_core.telemetry import tracing
from vidette_core.telemetry.tracing import Span


class ChunkSpans:
    """Thread-safe. There are never more than fit into the frames in flight."""

    def __init__(self, chunk_frames: int) -> None:
        self._frames = chunk_frames
        self._open: dict[int, Span] = {}
        self._lock = threading.Lock()

    @contextmanager
    def entered(self, sample: int) -> Iterator[None]:
        """The chunk's span is current. Its first frame is followed into the models: no later one has more of its text read."""
        if not tracing.is_on():
            yield
            return
        closely = tracing.closely() if sample % self._frames == 0 else nullcontext()
        with self._of(sample).current(), closely:
            yield

    def _of(self, sample: int) -> Span:
        chunk = sample // self._frames
        with self._lock:
            if chunk not in self._open:
                about = {"vidette.first_sample": chunk * self._frames}
                self._open[chunk] = tracing.begin("analyse chunk", attributes=about)
            return self._open[chunk]

    def pop(self, sample: int) -> Span:
        """The span of the sample's chunk, for whoever ends it."""
        if not tracing.is_on():
            return tracing.NO_SPAN
        made = self._of(sample)
        with self._lock:
            self._open.pop(sample // self._frames, None)
        return made

    def close(self) -> None:
        """What is open now will not be committed."""
        with self._lock:
            for left in self._open.values():
                left.fail("abandoned")
                left.end()
            self._open.clear()
