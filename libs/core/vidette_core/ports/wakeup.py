"""Waking the controller. A wake-up may be lost, doubled or early: it only saves waiting for the next sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID


class Wakeup(Protocol):
    async def wake(self, job_id: UUID) -> None:
        """Say that something about the job wants the controller. Best effort: never raises, and returns soon."""

    def wakes(self) -> AsyncIterator[None]:
        """Yields for each batch of wake-ups received. Ends never, raises never; silent while the other side is away."""
