"""Serving ASGI apps beside other work in one process: uvicorn without its own handling of signals and its own log lines."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from socket import socket

import structlog
import uvicorn
from starlette.types import ASGIApp

SHUTDOWN_S = 20
"""How long requests under way may take to end after the server was told to stop; what takes longer is cut off."""
_log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """Stops when `should_exit` is set; who sets it decides what signals mean."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # uvicorn's is a generator
        return nullcontext()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _log.info("listening", address=f"http://{self.config.host}:{self.config.port}")


def server(app: ASGIApp, host: str, port: int) -> Server:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=SHUTDOWN_S,
        lifespan="off",
    )
    return Server(config)
