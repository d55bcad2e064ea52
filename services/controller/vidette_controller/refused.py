"""What is remembered of launches that were refused: when to try again, and when to give up. Pure, but for its memory.

A quota on Jobs, a webhook, a template that the API server does not take, a name that somebody else holds: trying again at once
would only add to it, and there is no launched job on which anybody could read why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Refused:
    attempt: int
    since: float
    again: float
    pause_s: float


class RefusedLaunches:
    """Of attempts that run by their rows and could not be launched. Times are of one clock that only goes forward, in seconds.

    A controller that starts anew begins to count anew: it tries once more than it had to.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._known: dict[UUID, _Refused] = {}

    def may_try(self, job_id: UUID, attempt: int, now: float) -> bool:
        known = self._known.get(job_id)
        return known is None or known.attempt != attempt or now >= known.again

    def was_refused(self, job_id: UUID, attempt: int, now: float) -> bool:
        """Whether it has been refused for longer than is worth waiting."""
        known = self._known.get(job_id)
        if known is None or known.attempt != attempt:
            known = _Refused(attempt, now, now, FIRST_PAUSE_S)
        pause_s = min(2 * known.pause_s, LONGEST_PAUSE_S)
        self._known[job_id] = replace(known, again=now + known.pause_s, pause_s=pause_s)
        return now - known.since > self._patience_s

    def forget(self, job_id: UUID) -> None:
        """It was launched, or is over."""
        self._known.pop(job_id, None)

    def keep(self, job_ids: set[UUID]) -> None:
        """Only what is still to be launched."""
        self._known = {job_id: known for job_id, known in self._known.items() if job_id in job_ids}
