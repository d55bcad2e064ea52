"""When to ask again, and after how long: pure, so that every schedule can be tested without waiting."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from vidette.errors import ServiceUnavailable, TooManyUploads, Unreachable, VidetteError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries. Delays in seconds: doubling from `first`, at most `longest`.

    The service's own Retry-After is honoured up to `longest_asked`: a client that sleeps for an hour looks hung.
    """

    attempts: int = 4
    first: float = 0.2
    longest: float = 2.0
    longest_asked: float = 15.0

    def delay(self, failures: int, asked: float | None) -> float | None:
        """Seconds to wait after so many failures (1 or more), or None: give up."""
        if failures >= self.attempts:
            return None
        own = min(self.first * 2.0 ** min(failures - 1, 30), self.longest)
        return own if asked is None else max(own, min(asked, self.longest_asked))


def is_transient(error: VidetteError) -> bool:
    """Whether the same question may get an answer a moment later."""
    return isinstance(error, ServiceUnavailable)


def may_send_again(error: VidetteError) -> bool:
    """Whether an upload that ended so can have made no job: nothing was sent, or the service had no room to begin it.

    Any other end leaves it open. A 503 of the database, for one, may stand for a commit whose outcome nobody could tell.
    """
    return isinstance(error, Unreachable | TooManyUploads)


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3: seconds or a date); None when absent or unreadable."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
