"""`python -m vidette_api`: both apps in one process, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal

import uvicorn
from starlette.types import ASGIApp
from vidette_core.settings import LogSettings
from vidette_core.telemetry.logs import configure_logs

from vidette_api.gateway.app import gateway_app
from vidette_api.public.app import public_app
from vidette_api.settings import ListenSettings
from vidette_api.wiring import services_from_environment

SHUTDOWN_S = 20
"""How long requests under way may take to end after SIGTERM; uploads that take longer are aborted, and their rows say so."""


class _Server(uvicorn.Server):
    """Leaves the signals to `main`, since two servers share the process."""

    def capture_signals(self):  # type: ignore[no-untyped-def]  # overrides a context manager of uvicorn's
        import contextlib

        return contextlib.nullcontext()


def _server(app: ASGIApp, host: str, port: int) -> _Server:
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
    return _Server(config)


async def main() -> None:
    configure_logs(LogSettings(), "api")
    listen = ListenSettings()
    async with services_from_environment() as services:
        servers = [
            _server(public_app(services), listen.http_host, listen.http_port),
            _server(gateway_app(services), listen.gateway_host, listen.gateway_port),
        ]

        def stop() -> None:
            for server in servers:
                server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
