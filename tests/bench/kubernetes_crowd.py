"""The measurements of the bench of Kubernetes Jobs: a loop, a burst, a steady rate, and a crowd of rows."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from tests.bench.kubernetes_clients import Clients, until
from tests.bench.kubernetes_nodes import Player
from tests.bench.kubernetes_place import AT_ONCE, RunningController
from tests.bench.usage import cpu_seconds

_STEADY, _PER_SECOND = 100, 4.0
_STAY_MEANWHILE = AT_ONCE - 100
"""While all are let go: enough at work for a thousand Jobs at a time, the rest begins or ends."""
_QUIET_S = 5.0
LATENCY = "submit → Job, p50 / p99 / greatest, s"


@dataclass(frozen=True, slots=True)
class Burst:
    """Jobs made, pods made and Jobs completed a second, each from the first request on."""

    jobs: float
    pods: float
    completed: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a row's submission to its Job, as another client sees it."""

    p50: float
    p99: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.p50:.3f} / {self.p99:.3f} / {self.greatest:.3f}"


class Bench:
    def __init__(self, at: Clients, player: Player) -> None:
        self.at = at
        self.player = player

    async def loop(self, count: int) -> Burst:
        """The job controller alone: its pods run and end, but there is no row behind them."""
        began, pods, completed = time.monotonic(), self.player.board.pods.value, self.at.seen.completed
        await self.at.make_bare(count)
        made = time.monotonic()
        found = await self._rates(began, count, made, pods, completed)
        await self.at.forget_bare()
        return found

    async def burst(self, count: int) -> tuple[Burst, Latency]:
        """The same from rows."""
        began, pods, completed = time.monotonic(), self.player.board.pods.value, self.at.seen.completed
        submitted = await self.at.submit_many(count, "many")
        made = await until("a Job for every row", lambda: submitted.keys() <= self.at.seen.at.keys())
        found = await self._rates(began, count, made, pods, completed)
        await self.settled()
        return found, self.latency(submitted)

    async def steady(self) -> Latency:
        submitted = await self.at.submit_steadily(_STEADY, _PER_SECOND, "few")
        await until("a Job for every row", lambda: submitted.keys() <= self.at.seen.at.keys())
        return self.latency(submitted)

    def latency(self, submitted: Mapping[UUID, float]) -> Latency:
        waits = sorted(self.at.seen.at[job_id] - began for job_id, began in submitted.items())
        return Latency(statistics.median(waits), waits[int(len(waits) * 0.99)], waits[-1])

    async def settled(self) -> None:
        """No row is open any more, and what follows from that has been done."""
        while (states := await self.at.states())["pending"] + states["running"]:
            await asyncio.sleep(0.5)
        await asyncio.sleep(_QUIET_S)

    async def _rates(self, began: float, count: int, made: float, pods: int, completed: int) -> Burst:
        has_pods = await until("a pod for every Job", lambda: self.player.board.pods.value >= pods + count)
        ended = await until("the end of every Job", lambda: self.at.seen.completed >= completed + count)
        return Burst(count / (made - began), count / (has_pods - began), count / (ended - began))


class Crowd:
    """`rows` at once, the controller started when they are all there."""

    def __init__(self, bench: Bench, controller: RunningController) -> None:
        self._bench = bench
        self._at = bench.at
        self._controller = controller
        self._most_running = 0

    async def go(self, rows: int) -> dict[str, object]:
        stay = self._bench.player.board.stay
        stay.value = AT_ONCE
        known = len(self._at.seen.at)
        first = min(AT_ONCE, rows)
        began = await until("the first Job", lambda: len(self._at.seen.at) > known)
        full = await until("the first thousand", lambda: len(self._at.seen.at) >= known + first)
        print(f"{first / (full - began):.1f} Jobs/s for the first {first}", file=sys.stderr, flush=True)
        standing = await self._steady()
        peak, (before, before_s) = self._controller.peak_mib, self._controller.ticks()
        print(
            f"steady: {standing}; peak {peak:.0f} MiB; {before} rounds, {before_s:.1f} s", file=sys.stderr, flush=True
        )
        stay.value = _STAY_MEANWHILE
        used, released, left = self._used(), time.monotonic(), rows - first
        watching = asyncio.create_task(self._count_running())
        await until("a Job for every row", lambda: len(self._at.seen.at) >= known + rows + _STEADY)
        made = time.monotonic()
        stay.value = 0
        await self._bench.settled()
        watching.cancel()
        ticks, spent_s = self._controller.ticks()
        beside_all = await self._steady()
        await self._bench.settled()
        spent = {name: (now - used[name]) * 1000 / left for name, now in self._used().items()}
        return {
            f"the first {first} of {rows}: Jobs/s": first / (full - began),
            f"steady beside {first} running and {left} pending, {LATENCY}": str(standing),
            "the others: Jobs/s, whole lives meanwhile": left / (made - released),
            "rows running at a time, at most": self._most_running,
            **{f"CPU ms a job meanwhile, {name}": cost for name, cost in spent.items()},
            f"steady beside {rows} ended, {LATENCY}": str(beside_all),
            "controller, peak MiB beside the first, at the end": f"{peak:.0f}, {self._controller.peak_mib:.0f}",
            "seconds of a round, mean": (spent_s - before_s) / (ticks - before),
        }

    async def _steady(self) -> Latency:
        await asyncio.sleep(_QUIET_S)
        return await self._bench.steady()

    async def _count_running(self) -> None:
        while True:
            self._most_running = max(self._most_running, (await self._at.states())["running"])
            await asyncio.sleep(2)

    def _used(self) -> dict[str, float]:
        pids = {
            "controller": (self._controller.pid,),
            **self._at.here.pids,
            "kubelet and workers, played": (self._bench.player.pid,),
        }
        return {name: cpu_seconds(*of) for name, of in pids.items()}
