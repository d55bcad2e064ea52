"""Results as a stream of lines that survives a connection that breaks: which line comes next, and where to go on.

Decisions only; what is read and awaited is the clients' business.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote
from uuid import UUID

import httpx

from vidette.answers import from_transport, unreadable
from vidette.flows import Ask, Flow, Pause, Service, Take

NDJSON: Final = "application/x-ndjson"
MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes of one row of results; far above what the service writes, far below what would hurt."""


class Reading:
    """One pass over the lines of one job's results.

    The results of a completed job do not change, so after a break the pass goes on behind the last whole line: a page of as
    many lines as were given has a `Link` to the rest, whose cursor is all that is taken of it. Breaks without a line between
    them are as many as the retry policy allows; with lines between them, each brings the end nearer.
    """

    def __init__(self, service: Service, job_id: UUID) -> None:
        self._service = service
        self._path = f"/video/results/{job_id}"
        self._given = 0
        self._rest = bytearray()
        self._breaks = 0
        self._over = False

    def opened(self) -> Flow[httpx.Response | None]:
        """An answer whose body holds the lines from the next one on, or None: there are no more."""
        if self._over:
            return None
        path = self._path
        if self._given:
            page = yield from self._service.asked(Ask("GET", f"{path}?limit={self._given}", NDJSON, Take.HEAD))
            rest = page.links.get("next")
            if rest is None:
                return None
            path = f"{path}?cursor={quote(httpx.URL(rest['url']).params.get('cursor', ''))}"
        response = yield from self._service.asked(Ask("GET", path, NDJSON, Take.STREAM))
        if NDJSON not in response.headers.get("content-type", ""):
            raise unreadable(self._service.base_url)
        self._rest.clear()
        return response

    def lines(self, piece: bytes) -> list[bytes]:
        """The lines that a piece of the body completes, split at line feeds only: text found in a frame may hold characters
        that Unicode counts as line ends. Raises `BadAnswer` for a line without end."""
        head, feed, tail = piece.rpartition(b"\n")
        found: list[bytes] = []
        if feed:
            found = [line for line in (bytes(self._rest) + head).split(b"\n") if line]
            self._rest.clear()
        self._rest += tail
        if len(self._rest) > MAX_LINE:
            raise unreadable(self._service.base_url)
        return self._count(found)

    def end(self) -> list[bytes]:
        """The body is through: a last line that has no line feed."""
        self._over = True
        return [bytes(self._rest)] if self._rest else []

    def broken(self, lost: httpx.RequestError) -> Flow[None]:
        """The body broke off: wait a while, or raise what it was."""
        self._breaks += 1
        error = from_transport(lost, self._service.base_url)
        delay = self._service.retries.delay(self._breaks, None)
        if delay is None:
            raise error from lost
        yield Pause(delay)

    def _count(self, found: list[bytes]) -> list[bytes]:
        if found:
            self._given += len(found)
            self._breaks = 0
        return found
