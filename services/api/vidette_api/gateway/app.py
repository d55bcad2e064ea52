"""The gateway's ASGI app: the workers' routes, health, readiness and the process' metrics."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from vidette_api.gateway.routes import router
from vidette_api.http_errors import install_error_handlers
from vidette_api.wiring import Services
from vidette_core.ports.errors import Conflict, NotFound, Rejected
from vidette_core.telemetry.metrics import FENCED_WRITES
from vidette_core.telemetry.operations import health_routes, metrics_route


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    FENCED_WRITES.inc()
    return JSONResponse({"detail": str(error)}, 409)


async def _rejected(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 401, {"WWW-Authenticate": "Bearer"})


async def _premature(_: Request, error: Exception) -> JSONResponse:
    """A store that has just started may not show an object yet: one «not found» never means gone."""
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})


def gateway_app(services: Services) -> FastAPI:
    app = FastAPI(title="Vidette gateway", docs_url=None, redoc_url=None, openapi_url=None)
    install_error_handlers(app)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(NotFound, _premature)
    app.state.services = services
    app.include_router(router)
    app.router.routes.extend(health_routes({"database": services.database.ping, "store": services.store.ping}))
    app.router.routes.append(metrics_route())
    return app
