"""What a client hears whose request outlasts the patience of a process that was told to end: to come again, to another one."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidette_api.http_errors import error_response
from vidette_core.domain.errors import ErrorCode


class AnswerWhenStopped:
    """Middleware. The server cancels what is still under way; left to itself it then answers 500, and logs a stack."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            # An answer that had begun breaks off: ending here without its last piece makes the server cut the connection.
            if scope["type"] == "http" and not has_begun:
                message = "This process is being stopped. Nothing was lost; try again in a few seconds."
                await error_response(ErrorCode.STOPPING, message)(scope, receive, send)
