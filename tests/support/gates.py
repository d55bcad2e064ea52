"""Stopping a worker at one of its requests: the request, or its answer, is held, and with it everything else the worker asks.

From outside that is what a stopped process is: nothing of it arrives any more, until it goes on as if nothing had happened. The
worker's own clock goes on, as that of a stopped process does.
"""

from __future__ import annotations

import threading
from collections import Counter
from enum import StrEnum

from tests.support.http_proxy import Forward, Reply, Request

LIMIT_S = 12.0
"""For which a request is held at most: less than workers and gateway wait for an answer, so that what is held is not given up."""
GET_VIDEO, PUT_CHUNK = "GET video", "PUT chunk"


class Side(StrEnum):
    BEFORE = "before"
    """The request is held: it arrives when the worker goes on."""
    AFTER = "after"
    """The answer is held: what was asked for has been done, and the worker does not know."""


class Gate:
    """Holds the `nth` request named `point`. `gateway` and `store` are for the proxies before these two.

    Requests are named as the gateway has them, `POST /v1/claim`; those to the store are GET_VIDEO, and PUT_CHUNK, which is the
    gateway's for the worker. Of the store's proxy, which all share, only the one request is held: behind it a stopped worker
    could have but reads under way.
    """

    def __init__(self, point: str = "", side: Side = Side.BEFORE, nth: int = 1) -> None:
        self._point, self._side, self._nth = point, side, nth
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._reached = threading.Event()
        self.seen: Counter[str] = Counter()

    @property
    def reached(self) -> bool:
        return self._reached.is_set()

    def open(self) -> None:
        """The worker goes on."""
        self._opened.set()

    def gateway(self, request: Request, forward: Forward) -> Reply:
        if self.reached:
            self._hold()
        return self._passed(f"{request.method} {request.path}", request, forward)

    def store(self, request: Request, forward: Forward) -> Reply:
        return self._passed({"GET": GET_VIDEO, "PUT": PUT_CHUNK}.get(request.method, ""), request, forward)

    def _passed(self, name: str, request: Request, forward: Forward) -> Reply:
        with self._lock:
            self.seen[name] += 1
            is_it = name == self._point and self.seen[name] == self._nth
        if is_it and self._side is Side.BEFORE:
            self._reached.set()
            self._hold()
        reply = forward(request)
        if is_it and self._side is Side.AFTER:
            self._reached.set()
            self._hold()
        return reply

    def _hold(self) -> None:
        self._opened.wait(LIMIT_S)
