"""A request that is under way when its process is told to end gets an answer that says what to do, and never a 500."""

from __future__ import annotations

import asyncio
import socket
from uuid import uuid4

import pytest

from tests.support.public_api import no_store, public_api


async def test_a_request_that_outlasts_the_servers_patience_is_told_to_come_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """PostgreSQL takes the connection and never answers, for longer than the server waits for its requests."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+asyncpg://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        async with public_api(url, no_store()) as api:
            asked = asyncio.create_task(api.client.get(f"/video/status/{uuid4()}"))
            await asyncio.sleep(0.5)
            api.server.should_exit = True
            answer = await asked
    assert (answer.status_code, answer.headers["vidette-error"]) == (503, "stopping")
    assert answer.headers["retry-after"] == "5"
    assert "Exception in ASGI application" not in caplog.text
