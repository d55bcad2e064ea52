"""Waiting for something that is away: growing pauses with jitter, and an end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from vidette_core.ports.errors import Unavailable

T = TypeVar("T")
FIRST_S, LONGEST_S = 0.2, 5.0


def pauses(patience_s: float) -> Iterator[float]:
    """Pauses in seconds, doubling from FIRST_S to LONGEST_S, each shortened at random by up to half, for `patience_s`."""
    end, pause = time.monotonic() + patience_s, FIRST_S
    while time.monotonic() < end:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(pause * 2, LONGEST_S)


def patiently(call: Callable[[], T], patience_s: float, on_retry: Callable[[Unavailable], None]) -> T:
    """Call until it does not raise `Unavailable`. Raises the last one when patience ends, and anything else at once."""
    for pause in pauses(patience_s):
        try:
            return call()
        except Unavailable as error:
            on_retry(error)
            time.sleep(pause)
    return call()
