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
            raise too_large(self._limits.max_bytes, self.declared)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `DomainError` past a limit, and `ClientDisconnect`."""
        clock = asyncio.get_running_loop()
        begin, waited = clock.time(), 0.0
        while not self.complete:
            asked = clock.time()
            try:
                async with asyncio.timeout(self._patience(asked - begin, waited)):
                    piece = await self._next()
            except TimeoutError as error:
                raise _too_slow(self._limits, self.received, clock.time() - begin) from error
            waited += clock.time() - asked
            self.received += len(piece)
            if self.received > self._most:
                raise too_large(self._limits.max_bytes, self.received)
            if piece:
                yield piece

    def _patience(self, taken: float, waited: float) -> float:
        """Seconds that the next piece may take, after `taken` seconds of which the client was `waited` for."""
        limits = self._limits
        patience = min(limits.idle_timeout_s, limits.timeout_s - taken)
        if limits.min_bytes_per_s:
            patience = min(patience, limits.idle_timeout_s + self.received / limits.min_bytes_per_s - waited)
        return patience

    async def _next(self) -> bytes:
        message = await self._receive()
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


def too_large(limit: int, found: int) -> DomainError:
    message = (
        f"The upload is too large: it has {found} bytes or more, and this installation takes videos of at most {limit} bytes "
        f"({limit / 2**20:.0f} MiB). Send a shorter video, or one of a lower quality."
    )
    return DomainError(Problem(ErrorCode.UPLOAD_TOO_LARGE, message))


def _too_slow(limits: UploadSettings, received: int, seconds: float) -> DomainError:
    slowest = f", and has to bring {limits.min_bytes_per_s} bytes a second" if limits.min_bytes_per_s else ""
    message = (
        f"The upload took too long: {received} bytes came in {seconds:.0f} s, and it may take {limits.timeout_s:g} s, "
        f"be silent for {limits.idle_timeout_s:g} s{slowest}. "
        "Send it again over a faster connection, or a smaller video."
    )
    return DomainError(Problem(ErrorCode.UPLOAD_TIMEOUT, message))
