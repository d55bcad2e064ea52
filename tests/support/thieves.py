"""Somebody with a job of their own, which has gone through some of what happens to jobs, and who has kept every token of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from tests.support.gateway import COMMIT, Gateway, chunk
from tests.support.jobs import CHUNK_FRAMES, cut, launch
from tests.support.strangers import running_job
from vidette_core.domain.jobs import Fence
from vidette_core.domain.planning import PLAN_DID_NOT_HOLD
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Claimed

EVENTS = ("claim", "claim again", "plan", "commit", "finish", "replan", "next attempt", "cancel")
"""What may happen to a job, where it can."""


@dataclass(slots=True)
class Thief:
    job_id: UUID
    attempt: int = 1
    fences: list[Fence] = field(default_factory=list)

    def tokens(self, place: Gateway) -> list[str]:
        """Rightly signed all of them, and most of them over, or for what is not there."""
        attempts = [place.job_token(self.job_id, attempt) for attempt in range(self.attempt + 2)]
        beside = [
            near
            for fence in self.fences
            for near in (
                fence,
                Fence(self.job_id, fence.segment + 1, fence.epoch),
                Fence(self.job_id, fence.segment, fence.epoch + 1),
            )
        ]
        return attempts + [place.tokens.session_token(fence) for fence in beside]


async def thief_after(place: Gateway, events: list[str], number: int) -> Thief:
    """A job of the thief's own, which has gone through some of what happens to jobs."""
    thief = Thief(await running_job(place, f"thief-{uuid4()}"))
    for event in events:
        try:
            await _happen(place, thief, event, number)
        except Conflict:
            continue  # it cannot happen now
    return thief


async def _happen(place: Gateway, thief: Thief, event: str, number: int) -> None:
    db, last = place.db, thief.fences[-1] if thief.fences else Fence(thief.job_id, 0, 0)
    match event:
        case "claim" | "claim again":
            pod = f"thief-{number if event == 'claim' else len(thief.fences)}"
            claimed = await db.segments.claim(thief.job_id, thief.attempt, pod)
            thief.fences += [claimed.fence] if isinstance(claimed, Claimed) else []
        case "plan":
            await db.planning.post_plan(last, cut(3 * CHUNK_FRAMES, CHUNK_FRAMES, 1 + number % 3))
        case "commit" | "finish":
            await place.call("POST", COMMIT, place.tokens.session_token(last), chunk(0))
            if event == "finish":
                await db.segments.finish(last, CHUNK_FRAMES, ())
        case "replan":
            await db.planning.replan(last, PLAN_DID_NOT_HOLD)
        case "next attempt":
            new = launch(thief.job_id, thief.attempt + 1)
            assert await db.schedule.next_attempt(thief.job_id, thief.attempt, new, blame=False)
            thief.attempt += 1
        case "cancel":
            await db.cancelling.request(thief.job_id)
