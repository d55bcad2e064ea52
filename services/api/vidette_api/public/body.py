"""The body of an upload, piece by piece, under the limits on silence, time and size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from vidette_api.settings import UploadSettings
from vidette_core.domain.errors import DomainError, ErrorCode, Problem

FORM_BYTES = 64 * 1024
"""What a form may be longer than its file: boundaries, headers, and the fields at their longest."""


class Body:
    """Reads a request's body once. `complete` tells whether it was read to its end."""

    def __init__(self, request: Request, limits: UploadSettings) -> None:
        self._receive = request.receive
        self._limits = limits
        self._most = limits.max_bytes + FORM_BYTES
        self.declared = _declared(request)
        self.complete = self.declared == 0
        self.received = 0

    def check_declared(self) -> None:
        """Raises `DomainError` for a declared length past the limit."""
        if self.declared is not None and self.declared > self._most:
            raise too_large(self._limits.max_bytes)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `DomainError` past a limit, and `ClientDisconnect`."""
        clock = asyncio.get_running_loop()
        end = clock.time() + self._limits.timeout_s
        while not self.complete:
            piece = await self._next(min(self._limits.idle_timeout_s, end - clock.time()))
            self.received += len(piece)
            if self.received > self._most:
                raise too_large(self._limits.max_bytes)
            if piece:
                yield piece

    async def _next(self, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError as error:
            raise _too_slow(self._limits) from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.complete = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece


def _declared(request: Request) -> int | None:
    """The Content-Length, which the server has checked to be a number; None for a chunked body."""
    value = request.headers.get("content-length")
    if value is not None and value.isascii() and value.isdigit():
        return int(value)
    return None if "transfer-encoding" in request.headers else 0


def too_large(limit: int) -> DomainError:
    message = f"The video is larger than this installation takes: at most {limit} bytes ({limit / 2**20:.0f} MiB)."
    return DomainError(Problem(ErrorCode.UPLOAD_TOO_LARGE, message))


def _too_slow(limits: UploadSettings) -> DomainError:
    message = (
        f"The upload took too long: it may take {limits.timeout_s:.0f} s, and be silent for {limits.idle_timeout_s:.0f} s. "
        "Send it again over a faster connection, or a smaller video."
    )
    return DomainError(Problem(ErrorCode.UPLOAD_TIMEOUT, message))
