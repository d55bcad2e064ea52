"""Refuse bodies that no honest worker sends, before they are read: a worker may be taken over."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidette_api.http_errors import error_parts
from vidette_core.domain.errors import ErrorCode


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `max_bytes`, or what `longer` allows at its path, declared or not."""

    def __init__(self, app: ASGIApp, max_bytes: int, longer: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._longer = longer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "0") if scope["type"] == "http" else "0"
        most = self._longer.get(scope.get("path", ""), self._max_bytes)
        if not declared.isdigit() or int(declared) > most:
            await self._refuse(most, scope, receive, send)
        else:
            await self._app(scope, self._counting(most, receive), send)

    def _counting(self, most: int, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, _detail(most))
            return message

        return counted

    async def _refuse(self, most: int, scope: Scope, receive: Receive, send: Send) -> None:
        body, status, headers = error_parts(ErrorCode.UPLOAD_TOO_LARGE, _detail(most))
        await JSONResponse(body, status, {**headers, "Connection": "close"})(scope, receive, send)


def _detail(most: int) -> str:
    return f"Such a request to the gateway has at most {most} bytes."
