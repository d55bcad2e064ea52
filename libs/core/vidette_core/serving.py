"""Serving ASGI apps beside other work in one process: uvicorn without its own handling of signals."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import uvicorn
from starlette.types import ASGIApp

SHUTDOWN_S = 20
"""How long requests under way may take to end after the server was told to stop."""


class Server(uvicorn.Server):
    """Stops when `should_exit` is set; who sets it decides what signals mean."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # uvicorn's is a generator
        return nullcontext()


def server(app: ASGIApp, host: str, port: int) -> Server:
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
