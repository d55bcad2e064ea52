"""Keeping a segment: renews its lease in the background, and notices when another worker has taken over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from vidette_core.ports.errors import Conflict, PortError

PROGRESS_S = 1.0
"""How soon progress is told, where there is some: a bar should move. The lease alone would do with a third of its length."""
_log = structlog.get_logger(__name__)


class Lease:
    """A context manager. `samples` is what the next renewal reports; `check` raises `Conflict` once the lease is lost."""

    def __init__(self, renew: Callable[[int], None], lease_s: float, samples: int) -> None:
        self._renew = renew
        self._interval = lease_s / 3
        self._look = min(PROGRESS_S, self._interval)
        self._over = threading.Event()
        self._lost = threading.Event()
        run = partial(copy_context().run, self._run)  # so that its log lines carry the segment and the epoch
        self._thread = threading.Thread(target=run, name="lease", daemon=True)
        self.samples = samples

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def check(self) -> None:
        if self._lost.is_set():
            raise Conflict("the lease is lost: another worker has taken over, or the job is over")

    def _run(self) -> None:
        told, due = self.samples, time.monotonic() + self._interval
        while not self._over.wait(self._look):
            if self.samples == told and time.monotonic() < due:
                continue
            told, due = self.samples, time.monotonic() + self._interval
            try:
                self._renew(told)
            except Conflict:
                self._lost.set()
                return
            except PortError as error:
                # Whoever takes over raises the epoch, so going on unrenewed is safe: at worst this work is refused.
                _log.warning("the lease could not be renewed", error=str(error))
