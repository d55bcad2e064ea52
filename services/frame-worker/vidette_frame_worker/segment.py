"""One segment, from the first uncommitted sample to its end: decode ‖ prepare and infer ‖ commit.

Three kinds of threads with bounded queues between them, so that the slowest sets the pace and memory stays level: one
decodes, a few analyse, one commits. Analyses run in any order and leave in frame order, since their futures wait in a queue.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.telemetry.tracing import ending
from vidette_frame_worker.chunk_spans import ChunkSpans
from vidette_frame_worker.chunks import Analysed, pack
from vidette_frame_worker.ocr import ChunkMemory, Seat
from vidette_frame_worker.video import DecodedFrame

_POLL_S = 0.5
T = TypeVar("T")


class Analyse(Protocol):
    def analyse(self, frame: DecodedFrame, seat: Seat) -> Analysed: ...


class Commit(Protocol):
    def __call__(self, chunk: ChunkMessage, content: bytes) -> int: ...


class Progress(Protocol):
    """The lease: told how far the analysis is, and asked whether it still holds."""

    samples: int

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds of the queues: decoded frames waiting, and frames being analysed at once."""

    decoded_ahead: int
    in_flight: int


class _Stopped(Exception):
    """Another thread has failed; its error is the one to raise."""


def run_segment(
    frames: Iterator[DecodedFrame],
    first_sample: int,
    chunk_frames: int,
    analyser: Analyse,
    commit: Commit,
    progress: Progress,
    pace: Pace,
    *,
    text_reuse: bool = True,
) -> int:
    """Analyse and commit every frame, and return the sample behind the last.

    With `text_reuse` the frames of a chunk share a memory of their text; without it each has its own, and so reads everything.
    Raises whatever the first thread to fail raised; what was committed until then stays.
    """
    memories = _Memories(chunk_frames if text_reuse else 1)
    return _Run(first_sample, chunk_frames, analyser, commit, progress, pace, memories).run(frames)


class _Memories:
    """One memory at a time, which begins afresh at each boundary: a chunk never depends on the one before it."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._current: tuple[int, ChunkMemory] | None = None

    def seat(self, sample: int, check: Callable[[], None]) -> Seat:
        """A seat in the memory of the sample's chunk; `check` ends its waits."""
        chunk = sample // self._frames
        if self._current is None or self._current[0] != chunk:
            self._current = chunk, ChunkMemory(check)
        return self._current[1].seat()


class _Run:
    def __init__(
        self,
        first_sample: int,
        chunk_frames: int,
        analyser: Analyse,
        commit: Commit,
        progress: Progress,
        pace: Pace,
        memories: _Memories,
    ) -> None:
        self._chunk_frames = chunk_frames
        self._analyser = analyser
        self._commit = commit
        self._progress = progress
        self._memories = memories
        self._decoded: queue.Queue[DecodedFrame | None] = queue.Queue(pace.decoded_ahead)
        self._analysed: queue.Queue[Future[Analysed] | None] = queue.Queue(pace.in_flight)
        self._pool = ThreadPoolExecutor(pace.in_flight, thread_name_prefix="analyse")
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._next = first_sample
        self._spans = ChunkSpans(chunk_frames)

    def run(self, frames: Iterator[DecodedFrame]) -> int:
        threads = [
            self._thread("decode", self._decode, frames),
            self._thread("submit", self._submit),
            self._thread("commit", self._collect),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._spans.close()
        if self._failure is not None:
            raise self._failure
        return self._next

    def _thread(self, name: str, stage: Callable[..., None], *arguments: object) -> threading.Thread:
        # In a copy of the caller's context each, so that log lines carry the segment and the epoch.
        run = partial(copy_context().run, self._guarded, stage, *arguments)
        return threading.Thread(target=run, name=name, daemon=True)

    def _guarded(self, stage: Callable[..., None], *arguments: object) -> None:
        try:
            stage(*arguments)
        except _Stopped:
            return
        except BaseException as error:
            self._failure = self._failure or error
            self._stopped.set()

    def _decode(self, frames: Iterator[DecodedFrame]) -> None:
        for frame in frames:
            self._put(self._decoded, frame)
        self._put(self._decoded, None)

    def _submit(self) -> None:
        while (frame := self._take(self._decoded)) is not None:
            seat = self._memories.seat(frame.sample, self._check)
            with self._spans.entered(frame.sample):
                analysed = self._pool.submit(copy_context().run, self._analyser.analyse, frame, seat)
            self._put(self._analysed, analysed)
        self._put(self._analysed, None)

    def _collect(self) -> None:
        rows: list[Analysed] = []
        while (future := self._take(self._analysed)) is not None:
            rows.append(self._result(future))
            self._progress.samples = self._next + len(rows)
            if len(rows) == self._chunk_frames:
                self._commit_rows(rows)
                rows = []
        if rows:
            self._commit_rows(rows)

    def _commit_rows(self, rows: list[Analysed]) -> None:
        self._progress.check()
        with ending(self._spans.pop(self._next)) as span:
            span.tell({"vidette.frames": len(rows)})
            self._next = self._commit(*pack(self._next, rows))

    def _result(self, future: Future[Analysed]) -> Analysed:
        # Not `future.result(_POLL_S)`: the analysis may itself have raised the TimeoutError that this would raise.
        while not wait((future,), _POLL_S).done:
            self._check()
        self._check()
        return future.result()

    def _put(self, target: queue.Queue[T], item: T) -> None:
        while True:
            self._check()
            with suppress(queue.Full):
                return target.put(item, timeout=_POLL_S)

    def _take(self, source: queue.Queue[T]) -> T:
        while True:
            self._check()
            with suppress(queue.Empty):
                return source.get(timeout=_POLL_S)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self._progress.check()
