"""Rows to Kubernetes Jobs, on a control plane without nodes: how quickly, beside what the job controller itself can do.

    .venv/bin/python -m tests.bench.kubernetes_jobs [rows] [rounds] [default]

First, in turn, `rounds` times: Jobs made in a tight loop, and as many rows submitted in a burst. Then `rows` at once, of which
1,000 run at a time: the first thousand is launched and stands still, while another tenant submits steadily; all are let go; and
steadily once more, with all that has ended still there. `default`: Kubernetes' own controllers keep their default client limits.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.figures import Spread, ratio, report
from tests.bench.installation import scratch
from tests.bench.kubernetes_clients import clients
from tests.bench.kubernetes_crowd import LATENCY, Bench, Crowd
from tests.bench.kubernetes_nodes import Player, nodes_running
from tests.bench.kubernetes_place import NAMESPACE, RELEASE, Place, RunningController, controller_running, place

_PAIR = 400


async def pairs(bench: Bench, rounds: int) -> dict[str, object]:
    """The loop and a burst in turn."""
    loops, bursts, waits = [], [], []
    for turn in range(rounds):
        loops.append(await bench.loop(_PAIR))
        burst, latency = await bench.burst(_PAIR)
        bursts.append(burst)
        waits.append(latency)
        print(f"round {turn + 1}/{rounds}: {loops[-1]}, {burst}, {latency}", file=sys.stderr, flush=True)
    alone = [loop.pods for loop in loops]
    return {
        "Jobs/s made in a loop": Spread.of([loop.jobs for loop in loops]),
        "pods/s of the job controller from them": Spread.of(alone),
        "whole lives/s of the job controller": Spread.of([loop.completed for loop in loops]),
        "Jobs/s from rows": Spread.of([burst.jobs for burst in bursts]),
        "pods/s from rows": Spread.of([burst.pods for burst in bursts]),
        "Jobs from rows ÷ pods of the job controller alone": ratio([burst.jobs for burst in bursts], alone),
        "pods from rows ÷ pods of the job controller alone": ratio([burst.pods for burst in bursts], alone),
        "whole lives, from rows ÷ alone": ratio(
            [burst.completed for burst in bursts], [loop.completed for loop in loops]
        ),
        f"burst of {_PAIR} rows, {LATENCY}": "; ".join(map(str, waits)),
    }


@asynccontextmanager
async def guarded(player: Player, controller: RunningController) -> AsyncIterator[None]:
    """Breaks off when one of them has ended: nothing would ever happen then."""

    async def look() -> None:
        while player.process.is_alive() and not controller.ended:
            await asyncio.sleep(1)
        raise RuntimeError("the player of pods or the controller has ended")

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        yield
        looking.cancel()


async def measure(here: Place, rows: int, rounds: int) -> dict[str, object]:
    figures: dict[str, object] = {}
    with nodes_running(here.cluster.kubeconfig, NAMESPACE, RELEASE, here.database_url) as player:
        async with clients(here) as at:
            bench = Bench(at, player)
            with controller_running(here) as controller:
                async with guarded(player, controller):
                    await bench.burst(20)  # whatever is slow only once
                    figures |= await pairs(bench, rounds) if rounds else {}
            began = time.monotonic()
            await at.submit_many(rows, "many", wake=False)
            print(f"{rows} rows in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            with controller_running(here) as controller:
                async with guarded(player, controller):
                    figures |= await Crowd(bench, controller).go(rows)
            figures["rows not gone through once"] = await at.odd_rows()
            figures["Jobs or pods doubled"] = at.seen.doubled + player.board.doubled.value
    return figures


def main(rows: int, rounds: int, *, default_limits: bool) -> None:
    with scratch() as folder, place(folder, default_limits=default_limits) as here:
        limits = "default" if default_limits else "raised"
        figures = asyncio.run(measure(here, rows, rounds))
        report(f"Kubernetes Jobs, {rows} rows, {rounds} rounds, {limits} limits of the job controller", figures)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    main(*(numbers + [10_000, 3][len(numbers) :]), default_limits="default" in sys.argv)
