"""Reads a stored object by HTTP range requests through presigned URLs that live for minutes.

FFmpeg's own HTTP client is not used: it cannot be given a new URL when one expires, it reports a failing store as a damaged
video, and it would be one more protocol that a hostile file could reach.
"""

from __future__ import annotations

import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from vidette_core.ports.errors import Conflict, PortError, Rejected, Unavailable

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class RangePolicy:
    """How patiently and how greedily to read. Sizes are bytes, times seconds.

    A first read fetches one block; reads that go on where the last ended fetch twice as many each time, up to `max_ahead`
    blocks in one request. `cached_blocks` bounds the memory. A read that has not succeeded after `total_timeout`, all its
    attempts together, fails. `renewals` bounds how often one read asks for a new URL.
    """

    block: int = 256 * 1024
    max_ahead: int = 16
    cached_blocks: int = 64
    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 60.0
    first_pause: float = 0.2
    longest_pause: float = 5.0
    renewals: int = 3


class RangeReader:
    """A ByteSource over HTTP. `url` gives a presigned URL; it is asked again when the store refuses the last one (401, 403)."""

    def __init__(self, url: Callable[[], str], policy: RangePolicy | None = None) -> None:
        """Fetches the first block, and with it the size. Raises PortError."""
        self._policy = policy or RangePolicy()
        self._renew = url
        self._url: str | None = None
        self._client = httpx.Client(headers={"Accept-Encoding": "identity"}, follow_redirects=False)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._size: int | None = None
        self._etag: str | None = None
        self._next_block, self._ahead = -1, 1
        self.bytes_fetched = 0
        self.requests = 0
        try:
            self.read_at(0, 1)
        except PortError:
            self.close()
            raise

    @property
    def size(self) -> int:
        return self._size or 0

    def close(self) -> None:
        self._client.close()

    def read_at(self, offset: int, count: int) -> bytes:
        """The rest of the block that holds `offset`, at most `count` bytes; empty at the end. Raises PortError."""
        if self._size is not None and offset >= self._size:
            return b""
        number, start = divmod(offset, self._policy.block)
        if number not in self._blocks:
            self._fetch_blocks(number)
        self._blocks.move_to_end(number)
        return self._blocks[number][start : start + count]

    def _fetch_blocks(self, number: int) -> None:
        policy = self._policy
        self._ahead = min(self._ahead * 2, policy.max_ahead, policy.cached_blocks) if number == self._next_block else 1
        data = self._fetch(number * policy.block, (number + self._ahead) * policy.block)
        for place in range(0, max(1, len(data)), policy.block):
            self._blocks[number + place // policy.block] = data[place : place + policy.block]
        self._next_block = number + -(-len(data) // policy.block)
        while len(self._blocks) > policy.cached_blocks:
            self._blocks.popitem(last=False)

    def _fetch(self, start: int, end: int) -> bytes:
        """Bytes [start, end), cut at the object's end, in as many attempts as the time allows."""
        deadline = time.monotonic() + self._policy.total_timeout
        renewals, pause = 0, self._policy.first_pause
        while True:
            try:
                return self._attempt(start, end, deadline)
            except _Expired as expired:
                renewals += 1
                self._url = None
                if renewals > self._policy.renewals:
                    raise Rejected(
                        "the store refuses the video's URL even when it is new: check the clocks"
                    ) from expired
                problem: PortError = Unavailable("the store refused the video's URL")
            except Unavailable as unavailable:
                problem = unavailable
            pause = min(pause * 2, self._policy.longest_pause)
            wait = pause * random.uniform(0.5, 1.0)
            if time.monotonic() + wait >= deadline:
                raise problem
            time.sleep(wait)

    def _attempt(self, start: int, end: int, deadline: float) -> bytes:
        if self._url is None:
            self._url = self._renew()
        self.requests += 1
        left = max(0.001, deadline - time.monotonic())
        timeout = httpx.Timeout(min(left, self._policy.read_timeout), connect=min(left, self._policy.connect_timeout))
        headers = {"Range": f"bytes={start}-{end - 1}"}
        try:
            with self._client.stream("GET", self._url, headers=headers, timeout=timeout) as response:
                expected = self._expected_bytes(response, start, end)
                return self._body(response, expected, deadline)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # The cause is not chained: its text may hold the presigned URL.
            raise Unavailable(f"the store cannot be read ({type(error).__name__})") from None

    def _expected_bytes(self, response: httpx.Response, start: int, end: int) -> int:
        """How many bytes the answer must bring. Raises _Expired and PortError for every answer but the one asked for."""
        status = response.status_code
        if status in (401, 403):
            raise _Expired
        if status == 404:
            # Never final: a store that has just come back answers so for seconds, for objects that it has.
            raise Unavailable("the store does not have the video, or not yet")
        if status == 416 and start == 0:
            raise Unavailable("the store has nothing of the video")
        if status >= 500 or status in (408, 429):
            raise Unavailable(f"the store answers {status}")
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if status != 206 or found is None:
            raise Rejected(f"the store does not serve ranges: it answers {status}")
        first, last, size = (int(number) for number in found.groups())
        etag = response.headers.get("etag")
        if (self._size is not None and size != self._size) or (self._etag is not None and etag != self._etag):
            raise Conflict("the video changed in the store while it was read")
        self._size, self._etag = size, etag
        if first != start or last != min(end, size) - 1:
            raise Rejected("the store answers with another range than the one asked for")
        return last - first + 1

    def _body(self, response: httpx.Response, expected: int, deadline: float) -> bytes:
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if time.monotonic() > deadline:
                raise Unavailable("the store answers too slowly")
            if len(body) > expected:
                raise Rejected("the store sends more than it announced")
        if len(body) < expected:
            raise Unavailable("the store broke off in the middle")
        self.bytes_fetched += len(body)
        return bytes(body)


class _Expired(Exception):
    """The store refuses the URL: it has expired, or was never good."""
