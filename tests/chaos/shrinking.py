"""Makes a schedule that goes wrong smaller while it still does: delta debugging (Zeller and Hildebrandt, 2002) over its actions.

What a fault does depends on luck too, so a part that once went well may be needed all the same: what comes out has failed, and is
not promised to be the least that does. `tries` bounds how often an episode is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(actions: Sequence[T], fails: Callable[[Sequence[T]], bool], tries: int) -> list[T]:
    """A part of `actions`, in their order, that `fails`; `actions` itself is known to. Asks at most `tries` times."""
    kept, pieces = list(actions), 2
    while len(kept) > 1 and tries > 0:
        size = -(-len(kept) // pieces)
        for start in range(0, len(kept), size):
            without = kept[:start] + kept[start + size :]
            if not without or tries <= 0:
                continue
            tries -= 1
            if fails(without):
                kept, pieces = without, max(2, pieces - 1)
                break
        else:
            if size == 1:
                return kept
            pieces = min(len(kept), pieces * 2)
    return kept
