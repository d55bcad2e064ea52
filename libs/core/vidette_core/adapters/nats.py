"""Wake-ups over NATS JetStream: a bounded stream, and one durable pull consumer for all controllers.

JetStream rather than plain NATS, so that a wake-up sent while every controller is down is there when one comes back. It is
never the truth: a wiped NATS costs one sweep interval.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StreamConfig
from nats.js.errors import APIError

from vidette_core.settings import WakeupSettings

STREAM, SUBJECT, DURABLE = "VIDETTE", "vidette.wakeup", "controller"
BATCH = 64
FETCH_S = 20.0
"""How long one fetch waits. Also how late a vanished consumer is noticed."""
MAX_AGE_S = 3600.0
"""Older wake-ups help nobody: many sweeps have passed."""
_TROUBLE = (nats.errors.Error, APIError, OSError, asyncio.TimeoutError)
_log = structlog.get_logger(__name__)


class NatsWakeup:
    """See `ports.wakeup.Wakeup`. Connects by itself, and again, for ever; `close` ends it."""

    def __init__(self, settings: WakeupSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def wake(self, job_id: UUID) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                jetstream = await self._jetstream()
                await jetstream.publish(SUBJECT, str(job_id).encode(), timeout=self._settings.timeout_s)
        except _TROUBLE as error:
            _log.warning("the wake-up was not sent; the next sweep finds the job", error=type(error).__name__)

    async def wakes(self) -> AsyncIterator[None]:
        delay = 0.5
        while True:
            try:
                jetstream = await self._jetstream()
                await _ensure(jetstream)
                subscription = await jetstream.pull_subscribe_bind(DURABLE, STREAM)
                delay = 0.5
                try:
                    async for _ in _batches(subscription):
                        yield
                finally:
                    with suppress(*_TROUBLE):
                        await subscription.unsubscribe()
            except _TROUBLE as error:
                _log.warning("NATS is away; sweeps go on", error=type(error).__name__, retry_s=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 15.0)

    async def close(self) -> None:
        if self._client is not None:
            await _close(self._client, self._settings.timeout_s)

    async def _jetstream(self) -> JetStreamContext:
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._connected()
                await _ensure(self._client.jetstream())
        return self._client.jetstream()

    async def _connected(self) -> Client:
        """A client that has connected once; from then on it does so again by itself, for ever."""
        client = Client()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await client.connect(
                    self._settings.url.get_secret_value().split(","),
                    connect_timeout=math.ceil(self._settings.timeout_s),
                    # The default gives up for good after 60 tries.
                    max_reconnect_attempts=-1,
                    ping_interval=10,
                    error_cb=_on_error,
                )
        except BaseException:
            await _close(client, self._settings.timeout_s)
            raise
        return client


async def _close(client: Client, limit_s: float) -> None:
    """The client sends what is still unsent, and fails where the connection has gone: nobody needs it any more."""
    # RuntimeError is uvloop's word for it.
    with suppress(*_TROUBLE, RuntimeError):
        async with asyncio.timeout(limit_s):
            await client.close()


async def _on_error(error: Exception) -> None:
    _log.debug("NATS connection", error=type(error).__name__)


async def _ensure(jetstream: JetStreamContext) -> None:
    """Create what is missing: after NATS was wiped, everything is."""
    stream = StreamConfig(
        name=STREAM, subjects=[SUBJECT], max_age=MAX_AGE_S, max_msgs=100_000, discard=DiscardPolicy.OLD
    )
    await jetstream.add_stream(stream)
    consumer = ConsumerConfig(durable_name=DURABLE, ack_policy=AckPolicy.EXPLICIT, ack_wait=30)
    await jetstream.add_consumer(STREAM, consumer)


async def _batches(subscription: JetStreamContext.PullSubscription) -> AsyncIterator[None]:
    """Acknowledges on receipt: a wake-up says «look», and looking again costs nothing."""
    while True:
        try:
            messages = await subscription.fetch(BATCH, timeout=FETCH_S)
        except (TimeoutError, nats.errors.TimeoutError):
            # Silence, or a deleted consumer that the library reports as silence: asking tells them apart by raising.
            await subscription.consumer_info()
            continue
        for message in messages:
            await message.ack()
        yield
