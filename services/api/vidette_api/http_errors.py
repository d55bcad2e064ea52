"""From errors to HTTP: the one place that knows statuses.

Every error answer is `{"detail": "<sentence>"}`, with the machine-readable code in the header `Vidette-Error`. The body of
the contract's fixed answers is exactly that one key, which is why the code is not in it.
"""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.ports.errors import DatabaseUnavailable, Unavailable

ERROR_HEADER = "Vidette-Error"
RETRY_AFTER_S = 5
_log = structlog.get_logger(__name__)

STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_FORMAT: 400,
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNKNOWN_PIPELINE: 400,
    ErrorCode.UPLOAD_TIMEOUT: 408,
    ErrorCode.UPLOAD_TOO_LARGE: 413,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.NOT_COMPLETED: 404,
    ErrorCode.JOB_OVER: 409,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FENCED: 409,
    ErrorCode.CONFLICT: 409,
    ErrorCode.DATABASE_UNAVAILABLE: 503,
    ErrorCode.STORE_UNAVAILABLE: 503,
    ErrorCode.TOO_MANY_UPLOADS: 503,
    ErrorCode.STOPPING: 503,
    # A client that went away reads nothing; one that reads this met an api that is being stopped.
    ErrorCode.UPLOAD_ABORTED: 503,
    ErrorCode.INTERNAL: 500,
}
"""Codes that a request may be answered with. Other codes end a job, and stand in its status."""

_BY_STATUS = {
    401: ErrorCode.UNAUTHORIZED,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.UPLOAD_TOO_LARGE,
}
"""The codes of what the framework refuses by a status alone; the others are requests that are wrong in some other way."""

DEFECT = Problem(ErrorCode.INTERNAL, "Something inside Vidette failed. It was logged; please report it.")


def error_parts(code: ErrorCode, detail: str) -> tuple[dict[str, str], int, dict[str, str]]:
    """The body, status and headers of the answer for a code."""
    status = STATUS.get(code, 500)
    headers = {ERROR_HEADER: code.value}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return {"detail": detail}, status, headers


def error_response(code: ErrorCode, detail: str) -> JSONResponse:
    """The answer for a code, to a request whose body was read to its end."""
    return JSONResponse(*error_parts(code, detail))


def unavailable(error: Unavailable) -> Problem:
    """What a client is told of a part that does not answer: which one, and that trying again is right."""
    database = isinstance(error, DatabaseUnavailable)
    code = ErrorCode.DATABASE_UNAVAILABLE if database else ErrorCode.STORE_UNAVAILABLE
    part = "database" if database else "store"
    return Problem(code, f"The {part} is unavailable at the moment. Nothing was lost; try again in a few seconds.")


async def _domain_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DomainError)
    return error_response(error.problem.code, error.problem.message)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Unavailable)
    _log.warning("something the request needs is away", error=str(error))
    problem = unavailable(error)
    return error_response(problem.code, problem.message)


async def _invalid_request(_: Request, error: Exception) -> JSONResponse:
    """FastAPI would answer 422; the contract says 400 and one sentence."""
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors())
    return error_response(ErrorCode.INVALID_REQUEST, f"Invalid request: {said}.")


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    other = ErrorCode.INVALID_REQUEST if error.status_code < 500 else ErrorCode.INTERNAL
    code = _BY_STATUS.get(error.status_code, other)
    headers = {ERROR_HEADER: code.value, **(error.headers or {})}
    return JSONResponse({"detail": error.detail}, error.status_code, headers)


async def _defect(_: Request, error: Exception) -> JSONResponse:
    _log.error("a defect of Vidette met a request", exc_info=error)
    return error_response(DEFECT.code, DEFECT.message)


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)
