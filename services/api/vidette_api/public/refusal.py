"""An answer that comes before the request's body is through, in a way that the client can read it.

A server that answers and closes while bytes still arrive makes the kernel send a reset, and the reset makes the client's
kernel throw the answer away: `curl` then reports a broken connection instead of the 400. So the whole answer is sent first,
then what the client still sends is read and dropped, boundedly, and only then does the connection end. The order matters:
once a response is complete, the server gives the application no more of the body.
"""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from vidette_api.http_errors import error_parts
from vidette_api.settings import UploadSettings
from vidette_core.domain.errors import ErrorCode, Problem

STOPPING_DRAIN_S = 2.0
"""The same for an api that is being stopped: its process has not the time that a client may take."""


class Refusal(JSONResponse):
    """The answer for a problem, where the body of the request was not read to its end."""

    def __init__(self, problem: Problem, limits: UploadSettings) -> None:
        body, status, headers = error_parts(problem.code, problem.message)
        super().__init__(body, status, {**headers, "Connection": "close"})
        stopping = problem.code is ErrorCode.UPLOAD_ABORTED
        self._bytes = limits.drain_bytes
        self._seconds = min(limits.drain_s, STOPPING_DRAIN_S) if stopping else limits.drain_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await _drain(receive, self._bytes, self._seconds)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive, most: int, seconds: float) -> None:
    """Read and drop until the body ends, the client leaves, or a limit is met."""
    dropped = 0
    try:
        async with asyncio.timeout(seconds):
            while dropped <= most:
                message = await receive()
                dropped += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
