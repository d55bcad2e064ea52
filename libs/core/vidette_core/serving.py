"""Serving ASGI apps beside other work in one process: uvicorn without its own handling of signals and its own log lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from socket import socket
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

SHUTDOWN_S = 15
"""How long requests under way may take to end after the server was told to stop, where nobody says; the rest is cut off."""
_log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """Stops when `should_exit` is set; who sets it decides what signals mean."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # uvicorn's is a generator
        return nullcontext()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets is None:  # whoever made the sockets knows where they are
            _log.info("listening", address=f"http://{self.config.host}:{self.config.port}")


def run(main: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run` on the event loop that uvicorn itself would choose: uvloop where it is installed.

    It moves an upload's bytes with less CPU; docs/performance.md has the figures.
    """
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        runner.run(main)


def server(app: ASGIApp, host: str, port: int, *, shutdown_s: int = SHUTDOWN_S) -> Server:
    """For `serve()`. After `shutdown_s` seconds what is still under way is cancelled; uvicorn does not wait for its end."""
    return Server(_config(app, shutdown_s, host=host, port=port))


def server_on_socket(app: ASGIApp, *, shutdown_s: int = SHUTDOWN_S) -> Server:
    """The same for `serve(sockets=[...])`, with a listening socket that the caller made, be it a unix socket."""
    return Server(_config(app, shutdown_s))


def _config(app: ASGIApp, shutdown_s: int, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        # Longer than load balancers keep an idle connection, or they meet a reset and answer 502: Google's keep it for 600 s.
        timeout_keep_alive=620,
        timeout_graceful_shutdown=shutdown_s,
        lifespan="off",
    )
