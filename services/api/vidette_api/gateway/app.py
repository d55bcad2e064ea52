"""The gateway's ASGI app: the workers' routes, health, readiness and the process' metrics."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from vidette_api.gateway.body_limit import BodyLimit
from vidette_api.gateway.chunk_intake import ChunkIntake
from vidette_api.gateway.routes import COMMIT_PATH, router
from vidette_api.http_errors import error_parts, error_response, install_error_handlers
from vidette_api.request_log import RequestLog
from vidette_api.request_span import NO_TELEMETRY
from vidette_api.stopping import AnswerWhenStopped
from vidette_api.wiring import Services
from vidette_core.domain.chunks import MAX_CHUNK_BYTES
from vidette_core.domain.errors import ErrorCode
from vidette_core.ports.errors import Conflict, NotFound, Rejected
from vidette_core.ports.jobs import Fenced
from vidette_core.telemetry.metrics import FENCED_WRITES, Service
from vidette_core.telemetry.operations import health_routes, metrics_route
from vidette_core.tokens import InvalidToken


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Fenced):
        FENCED_WRITES.inc()
        return error_response(ErrorCode.FENCED, str(error))
    return error_response(ErrorCode.CONFLICT, str(error))


async def _unauthorized(_: Request, error: Exception) -> JSONResponse:
    body, status, headers = error_parts(ErrorCode.UNAUTHORIZED, str(error))
    return JSONResponse(body, status, {**headers, "WWW-Authenticate": "Bearer"})


async def _try_again(_: Request, error: Exception) -> JSONResponse:
    """A store that refuses us, or has no such bucket, is not the worker's fault."""
    _log.warning("the store's answer is taken for an outage", error=str(error))
    body, status, headers = error_parts(ErrorCode.STORE_UNAVAILABLE, "the store does not serve the request now")
    return JSONResponse(body, status, {**headers, "Retry-After": "1"})


MAX_BODY_BYTES = 64 * 1024
"""No message of a worker has a hundredth of it, but for chunks."""
_log = structlog.get_logger(__name__)


def gateway_app(services: Services) -> FastAPI:
    app = FastAPI(title="Vidette gateway", docs_url=None, redoc_url=None, openapi_url=None, telemetry=NO_TELEMETRY)
    install_error_handlers(app)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(InvalidToken, _unauthorized)
    app.add_exception_handler(Rejected, _try_again)
    app.add_exception_handler(NotFound, _try_again)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, longer={COMMIT_PATH: MAX_CHUNK_BYTES})
    app.add_middleware(AnswerWhenStopped)
    app.add_middleware(RequestLog, name="gateway")  # added last, it is outermost, and sees what the limit refuses
    app.state.services = services
    app.state.chunk_intake = ChunkIntake(services.store)
    app.include_router(router)
    app.router.routes.extend(health_routes({"database": services.database.ping, "store": services.store.ping}))
    app.router.routes.append(metrics_route(Service.API))
    return app
