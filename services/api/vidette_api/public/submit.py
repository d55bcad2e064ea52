"""`POST /video/submit`: refuse early and readably, else stream the video into the store and make a job of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask
from starlette.responses import Response

from vidette_api.http_errors import error_response, unavailable
from vidette_api.public.body import Body
from vidette_api.public.form import FIELDS, FILE, boundary_of
from vidette_api.public.parameters import LARGEST
from vidette_api.public.reception import Reception
from vidette_api.public.refusal import Refusal
from vidette_api.public.schemas import Submitted, declared, errors
from vidette_api.wiring import Services, Wired
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.ports.errors import DatabaseUnavailable, PortError, Unavailable
from vidette_core.telemetry.logs import job_in_logs
from vidette_core.telemetry.metrics import UPLOADS, UPLOADS_ACTIVE

router = APIRouter(tags=["video"])

_NUMBER = {"type": "integer", "minimum": 1, "maximum": LARGEST}
_OPTIONAL = {"oneOf": [_NUMBER, {"type": "null"}, {"type": "string", "maxLength": 0}]}
_PIPELINE, _STRIDE, _MOST, _WORKERS = FIELDS
_FORM: dict[str, Any] = {
    "type": "object",
    "required": [FILE, _PIPELINE],
    "additionalProperties": False,
    "properties": {
        FILE: {"type": "string", "format": "binary", "description": "The video: MP4, MOV or AVI, told by its content."},
        _PIPELINE: {
            "type": "string",
            "description": "One of the ids that `GET /pipelines` lists.",
            "examples": ["yolo_ocr"],
        },
        _STRIDE: {**_OPTIONAL, "default": 1, "description": "Analyse frames 0, k, 2k, …; empty or `null` is 1."},
        _MOST: {**_OPTIONAL, "description": "Analyse at most this many frames; empty or `null` is all."},
        _WORKERS: {
            **_OPTIONAL,
            "description": "Split the video among at most this many workers; empty or `null` is as many as are worth it and "
            "allowed here. The results are the same whatever their number.",
        },
    },
}


class UploadSlots:
    """How many uploads this process takes at once, which bounds its memory."""

    def __init__(self, most: int) -> None:
        self._free = most

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises `DomainError` when none is free."""
        if self._free == 0:
            message = "As many uploads as this service takes at once are under way. Try again in a few seconds."
            raise DomainError(Problem(ErrorCode.TOO_MANY_UPLOADS, message))
        self._free -= 1
        UPLOADS_ACTIVE.inc()
        try:
            yield
        finally:
            self._free += 1
            UPLOADS_ACTIVE.dec()


@router.post(
    "/video/submit",
    summary="Submit a video",
    response_model=Submitted,
    responses={
        **declared(200, "The job is safe, and starts when there is room.", "Location"),
        **errors(400, 408, 413, 500, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def submit(request: Request, services: Wired) -> Response:
    """The parts of the form may come in any order. A file that is no video is refused after its first bytes."""
    body = Body(request, services.uploads)
    slots: UploadSlots = request.app.state.upload_slots
    try:
        with slots.one():
            reception = await _admit(request, services, body)
            with job_in_logs(reception.job_id):
                job_id = await reception.run()
            request.state.job_id = job_id
    except DomainError as error:
        problem = error.problem
        UPLOADS.labels(problem.code.value).inc()
        return error_response(problem.code, problem.message) if body.complete else Refusal(problem, services.uploads)
    UPLOADS.labels("submitted").inc()
    headers = {"Location": f"{request.scope.get('root_path', '')}/video/status/{job_id}"}
    # After the answer: the job is safe without the wake-up, and NATS may be slow or away.
    wake = BackgroundTask(services.wakeup.wake, job_id)
    return JSONResponse({"job_id": str(job_id)}, headers=headers, background=wake)


async def _admit(request: Request, services: Services, body: Body) -> Reception:
    """All that can be known before the body is read. Raises `DomainError`."""
    boundary = boundary_of(request.headers.get("content-type"))
    body.check_declared()
    seconds = services.uploads.check_s
    try:
        await asyncio.gather(
            _answers(services.database.ping, seconds, DatabaseUnavailable("PostgreSQL does not answer")),
            _answers(services.store.ping, seconds, Unavailable("the store does not answer")),
        )
    except Unavailable as error:
        raise DomainError(unavailable(error)) from error
    return Reception(services, body, boundary)


async def _answers(ping: Callable[[], Awaitable[None]], seconds: float, otherwise: Unavailable) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ping()
    except (PortError, TimeoutError) as error:
        raise otherwise from error
