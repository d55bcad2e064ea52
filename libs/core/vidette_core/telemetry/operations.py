"""Health, readiness and metrics over HTTP, the same three paths for every service.

`/healthz` says that the process turns over; `/readyz` asks what the service cannot work without, each check with its own
time limit, and tells which failed; `/metrics` is Prometheus' text format.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vidette_core.ports.errors import PortError
from vidette_core.telemetry.metrics import REGISTRIES, Service

Check = Callable[[], Awaitable[None]]
CHECK_S = 3.0


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """`/healthz` and `/readyz`. A check returns when its part is fine and raises a `PortError` when it is not."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        states = await asyncio.gather(*(_state(check) for check in checks.values()))
        ready = all(state == "ok" for state in states)
        body = {"status": "ok" if ready else "unavailable", "checks": dict(zip(checks, states, strict=True))}
        return JSONResponse(body, 200 if ready else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def metrics_route(service: Service) -> Route:
    async def metrics(_: Request) -> Response:
        return Response(generate_latest(REGISTRIES[service]), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", metrics)


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except (PortError, TimeoutError) as error:
        return str(error) or "no answer in time"
    return "ok"
