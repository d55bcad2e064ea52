"""Which calls into FFmpeg are under way, and which of them takes too long.

Nothing can interrupt such a call, so somebody else has to look: the worker's first thread does, and ends the process. What is
measured is the time of the processor that the call's own thread has had, so neither a machine that is busy with others nor
a store that is waited for is ever blamed on a video. What is under way is a fact of the process, as its threads are; hence
one table for all.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from vidette_frame_worker.video.facts import Limits, VideoError

_under_way: dict[int, tuple[int, float, Limits]] = {}
"""By thread: its clock, what that showed when the call began, and the limits that hold for it."""


class Call:
    """A context manager around each call of one reader. Used by one thread at a time, and never within itself."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __enter__(self) -> None:
        thread = threading.get_ident()
        _under_way[thread] = time.pthread_getcpuclockid(thread), time.thread_time(), self._limits

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _under_way.pop(threading.get_ident(), None)


def overtime() -> VideoError | None:
    """What is wrong with the video whose call takes too long, if there is one."""
    for clock, begun, limits in list(_under_way.values()):
        try:
            limits.check_decoding(time.clock_gettime(clock) - begun)
        except VideoError as error:
            return error
        except OSError:
            continue  # the thread has ended, and its clock with it
    return None
