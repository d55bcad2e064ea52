"""The header by which one trace goes through several services: `traceparent` of W3C Trace Context, level 1 (§3.2)."""

from __future__ import annotations

import re

LENGTH = 55
VARIABLE = "TRACEPARENT"
"""The environment variable in which a process finds it (OpenTelemetry's «environment variables as context propagation»)."""
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def well_formed(text: str | None) -> str | None:
    """The text itself where it is a traceparent of version 00 to the letter, and None for everything else.

    It is stored in rows, and told to workers in their environment: there is no room in it for anything but two numbers.
    """
    return text if text is not None and _FORM.fullmatch(text) else None


def is_sampled(traceparent: str) -> bool:
    """Whether the trace is being recorded: the lowest bit of the flags. `traceparent` is well-formed."""
    return bool(int(traceparent[-2:], 16) & 1)
