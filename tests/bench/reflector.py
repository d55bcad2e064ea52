"""Memory and event loop of a reflector that lists 10,000 Jobs: `python -m tests.bench.reflector [number of Jobs]`.

The server is a process of its own, so that only the reflector's memory is counted.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support.scripted_kube import PATH, job, kubeconfig, scripted_kube
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.projection import JobView, job_view
from vidette_core.adapters.kube.reflector import Reflector

MIB = 2**20
ROUNDS = 3


def serve(count: int, pipe: Connection) -> None:
    async def until_told() -> None:
        async with scripted_kube() as kube:
            kube.objects = [job(number) for number in range(count)]
            pipe.send(kube.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(until_told())


def resident() -> float:
    """MiB now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


async def longest_block(done: asyncio.Event) -> float:
    """Seconds by which a sleep of 1 ms was late at worst."""
    worst = 0.0
    while not done.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - began - 0.001)
    return worst


async def measure(url: str, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        connection = await KubeConnection.open(kubeconfig(Path(folder), url), 30.0)
    reflector: Reflector[JobView] = Reflector(connection, PATH, "", job_view)
    before = resident()
    for _ in range(ROUNDS):
        done = asyncio.Event()
        watching = asyncio.create_task(longest_block(done))
        wall, cpu = time.perf_counter(), time.process_time()
        await reflector._list()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        done.set()
        block = await watching
        assert len(reflector.items()) == count
        print(f"{count} Jobs: {wall:.2f} s, {cpu:.2f} s of CPU, longest block {block * 1000:.0f} ms, ", end="")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"RSS {before:.0f} -> {resident():.0f} MiB (peak {peak:.0f})")
    await connection.close()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(count, there))
    process.start()
    try:
        asyncio.run(measure(here.recv(), count))
    finally:
        here.send("enough")
        process.join(10)


if __name__ == "__main__":
    main()
