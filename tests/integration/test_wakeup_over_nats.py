"""Wake-ups over a real NATS: they arrive, also after NATS was wiped or away, and trouble with it never reaches the caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import nats
import pytest
from pydantic import SecretStr

from tests.support.servers import NatsServer, nats_running
from vidette_core.adapters.nats import STREAM, NatsWakeup
from vidette_core.settings import WakeupSettings


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_running(tmp_path) as running:
        yield running


@asynccontextmanager
async def wakeup(url: str) -> AsyncIterator[NatsWakeup]:
    made = NatsWakeup(WakeupSettings(url=SecretStr(url)))
    try:
        yield made
    finally:
        await made.close()


async def next_wake(wakes: AsyncIterator[None], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        await anext(wakes)


async def test_a_wake_up_reaches_a_controller_that_listens(server: NatsServer) -> None:
    async with wakeup(server.url) as sender, wakeup(server.url) as receiver:
        wakes = receiver.wakes()
        waiting = asyncio.create_task(next_wake(wakes))
        await asyncio.sleep(0.5)
        await sender.wake(uuid4())
        await waiting


async def test_a_wake_up_sent_while_nobody_listens_is_there_for_the_next_controller(server: NatsServer) -> None:
    async with wakeup(server.url) as sender, wakeup(server.url) as receiver:
        await sender.wake(uuid4())
        await next_wake(receiver.wakes())


async def test_one_of_several_controllers_is_woken_not_all(server: NatsServer) -> None:
    async with wakeup(server.url) as sender, wakeup(server.url) as first, wakeup(server.url) as second:
        tasks = [asyncio.create_task(next_wake(listener.wakes())) for listener in (first, second)]
        await asyncio.sleep(0.5)
        await sender.wake(uuid4())
        done, waiting = await asyncio.wait(tasks, timeout=3)
        assert (len(done), len(waiting)) == (1, 1)
        for task in waiting:
            task.cancel()


async def test_a_wiped_stream_is_made_again_and_wakes_go_on(server: NatsServer) -> None:
    async with wakeup(server.url) as sender, wakeup(server.url) as receiver:
        wakes = receiver.wakes()
        await sender.wake(uuid4())
        await next_wake(wakes)
        client = await nats.connect(server.url)
        await client.jetstream().delete_stream(STREAM)
        await client.close()
        waiting = asyncio.create_task(next_wake(wakes, 60))
        await asyncio.sleep(0.1)
        for _ in range(100):
            await sender.wake(uuid4())
            if waiting.done():
                break
            await asyncio.sleep(0.5)
        await waiting


async def test_nats_away_costs_a_sender_a_bounded_time_and_no_error(unused_tcp_port: int) -> None:
    async with wakeup(f"nats://token@127.0.0.1:{unused_tcp_port}") as sender:
        began = time.monotonic()
        await sender.wake(uuid4())
        assert time.monotonic() - began < 10


async def test_a_port_that_accepts_and_never_answers_costs_a_bounded_time_too() -> None:
    silent = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with wakeup(f"nats://token@127.0.0.1:{port}") as sender:
        began = time.monotonic()
        await sender.wake(uuid4())
        assert time.monotonic() - began < 10
    silent.close()


async def test_closing_is_quiet_though_nats_has_gone_with_a_wake_up_still_unsent(server: NatsServer) -> None:
    sender = NatsWakeup(WakeupSettings(url=SecretStr(server.url), timeout_s=0.5))
    await sender.wake(uuid4())
    server.child.kill()
    await asyncio.sleep(0.5)  # until the connection is seen to have ended
    await sender.wake(uuid4())
    await sender.close()
