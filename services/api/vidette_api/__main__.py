"""`python -m vidette_api`: both apps in one process, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

import uvicorn
from pydantic import ValidationError

from vidette_api.catalog import CatalogUnusable
from vidette_api.gateway.app import gateway_app
from vidette_api.public.app import public_app
from vidette_api.settings import LAST_WORDS_S, ListenSettings
from vidette_api.wiring import services_from_environment
from vidette_core.serving import run, server
from vidette_core.settings import LogSettings, TracingSettings, exit_on_wrong_settings
from vidette_core.telemetry.logs import configure_logs
from vidette_core.telemetry.tracing import tracing


async def main() -> None:
    configure_logs(LogSettings(), "api")
    # Outermost, so that the last spans are sent when everything else has ended and nothing is lost by being killed meanwhile.
    with tracing("vidette-api", TracingSettings()):
        await _serve(ListenSettings())


async def _serve(listen: ListenSettings) -> None:
    async with services_from_environment() as services:
        servers = [
            server(public_app(services), listen.http_host, listen.http_port, shutdown_s=listen.shutdown_s),
            server(gateway_app(services), listen.gateway_host, listen.gateway_port, shutdown_s=listen.shutdown_s),
        ]

        def stop() -> None:
            for each in servers:
                each.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await asyncio.gather(*(each.serve() for each in servers))
        await _last_words(servers)


async def _last_words(servers: Sequence[uvicorn.Server]) -> None:
    """Uvicorn cancels what is left and does not wait for it; the services must stay open until it has cleaned up."""
    tasks = {task for each in servers for task in each.server_state.tasks}
    if tasks:
        await asyncio.wait(tasks, timeout=LAST_WORDS_S)


if __name__ == "__main__":
    try:
        run(main())
    except ValidationError as error:
        exit_on_wrong_settings(error)
    except CatalogUnusable as unusable:
        sys.exit(str(unusable))
