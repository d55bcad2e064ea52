"""How the stack speaks to whoever watches it: one tidy line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

Say = Callable[[str, str], None]
"""Takes who speaks and what happened."""


def say_on_stderr(who: str, what: str) -> None:
    """One line: time, part, what happened."""
    with suppress(OSError):  # the terminal may be gone, and that is no reason not to stop in order
        print(f"{datetime.now():%H:%M:%S} {who:<11}{what}", file=sys.stderr, flush=True)
