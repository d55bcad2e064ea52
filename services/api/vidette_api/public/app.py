"""The public ASGI app: the contract's three routes, cancelling, verifying, the pipelines, health and readiness."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from vidette_api.http_errors import install_error_handlers
from vidette_api.public import cancel, pipelines, results, status, submit, verify
from vidette_api.request_log import RequestLog
from vidette_api.request_span import NO_TELEMETRY
from vidette_api.stopping import AnswerWhenStopped
from vidette_api.wiring import Services
from vidette_core.telemetry.operations import health_routes

_DESCRIPTION = """Takes a video, finds objects and text on its frames, and hands the results back frame by frame.

Every error is one sentence for people in `detail`, with its code for programs in the header `Vidette-Error`. A path that is
not here is a 404 (`not_found`), a method that a path does not have a 405 (`method_not_allowed`, with `Allow`).

For probes, and no part of this contract: `GET /healthz` (the process runs) and `GET /readyz` (its database and store answer).
"""

_UNUSED = ("HTTPValidationError", "ValidationError", "JobState")
"""What nothing in the document refers to once it is right: `JobState` has a state that clients never see."""


class PublicApi(FastAPI):
    """Without the 422 that FastAPI declares for every route with parameters: here a wrong request is a 400."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for unused in _UNUSED:
                document["components"]["schemas"].pop(unused, None)
        assert self.openapi_schema is not None, "made above"
        return self.openapi_schema


def public_app(services: Services) -> FastAPI:
    app = PublicApi(title="Vidette", version="1", description=_DESCRIPTION, telemetry=NO_TELEMETRY)
    install_error_handlers(app)
    app.state.services = services
    app.state.upload_slots = submit.UploadSlots(services.uploads.max_at_once)
    for feature in (submit, status, results, cancel, verify, pipelines):
        app.include_router(feature.router)
    app.router.routes.extend(health_routes({"database": services.database.ping, "store": services.store.ping}))
    app.add_middleware(AnswerWhenStopped)
    app.add_middleware(RequestLog, name="public")
    return app
