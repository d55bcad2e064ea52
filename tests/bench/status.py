"""`GET /video/status` against a bare FastAPI + asyncpg handler with one SELECT by primary key and the same JSON.

    .venv/bin/python -m tests.bench.status [seconds] [rounds]

One process each, the same uvicorn settings, the same client, in turn. Each side runs twice: with a cache of prepared
statements, as asyncpg comes and as the embedded stack sets `VIDETTE_DATABASE_STATEMENT_CACHE`, and without it, as has to be
behind an older PgBouncer in transaction mode.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

from tests.bench.figures import interleaved, ratio, report
from tests.bench.installation import Installation, api_running, installation, scratch
from tests.bench.load import requests_per_second
from tests.support.jobs import adapters
from vidette_core.domain.sampling import Sampling
from vidette_local.child import Child, Command
from vidette_local.ports import load_or_pick

_ROOT = Path(__file__).parents[2]
_START_S = 30.0


async def _running_job(database_url: str) -> UUID:
    async with adapters(database_url) as made:
        job_id = await made.submit(Sampling())
        await made.run()
        return job_id


@contextmanager
def bare_api(running: Installation, name: str, statement_cache: int) -> Iterator[int]:
    """The port of a bare handler in a process of its own."""
    port = load_or_pick(running.folder / f"{name}-port.json", [name])[name]
    argv = (sys.executable, "-m", "tests.bench.bare_api", str(port), str(statement_cache))
    environment = {**os.environ, "VIDETTE_DATABASE_URL": running.database_url}
    child = Child.start(Command(argv, _ROOT, environment), running.folder / f"{name}.log")
    try:
        yield port
    finally:
        child.stop_blocking(5)


def answer(port: int, path: str) -> dict[str, object]:
    """The JSON of an answer; waits for a server that is just starting."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                body: dict[str, object] = json.load(response)
                return body
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main(seconds: int, rounds: int) -> None:
    with scratch() as folder, ExitStack() as held:
        running = held.enter_context(installation(folder))
        path = f"/video/status/{asyncio.run(_running_job(running.database_url))}"
        careful = {**running.environment, "VIDETTE_DATABASE_STATEMENT_CACHE": "0"}
        ports = {
            "vidette": running.api.port,
            "vidette, no statement cache": held.enter_context(api_running(folder, "careful", careful)).port,
            "bare": held.enter_context(bare_api(running, "bare", 100)),
            "bare, no statement cache": held.enter_context(bare_api(running, "uncached", 0)),
        }
        answers = [answer(port, path) for port in ports.values()]
        if any(other != answers[0] for other in answers):
            raise RuntimeError(f"the answers differ: {answers}")
        for port in ports.values():
            requests_per_second(port, path, seconds=1)
        measures = {
            name: (lambda port=port: requests_per_second(port, path, seconds=seconds)) for name, port in ports.items()
        }
        ours, careful_ours, bare, uncached = interleaved(rounds, measures).values()
        report(
            f"status, {rounds} rounds of {seconds} s, 16 connections",
            {
                "vidette, requests/s": sum(ours) / rounds,
                "vidette without statement cache, requests/s": sum(careful_ours) / rounds,
                "bare, requests/s": sum(bare) / rounds,
                "bare without statement cache, requests/s": sum(uncached) / rounds,
                "vidette ÷ bare (≥ 0.7)": ratio(ours, bare),
                "both without statement cache": ratio(careful_ours, uncached),
            },
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*(given + [4, 5][len(given) :]))
