"""Follows one kind of object in one namespace: a list, then a watch, then again, keeping a few fields of each object.

Ours, because the client's own has no back-off, asks for no bookmarks and waits for ever on a silent peer (ADR 17). What it holds
is a hint, but never "nothing there" for "nobody knows": without a list, or after a long silence, it is `Unavailable`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypeVar

import structlog

from vidette_core.adapters.kube.connection import Gone, KubeConnection
from vidette_core.ports.errors import PortError, Unavailable

_log = structlog.get_logger(__name__)
_PAGE = 500
_MOST_PAGES = 400
"""200,000 objects: a list that goes on after them goes in circles."""
_WATCH_S = 240


class View(Protocol):
    """What is kept of an object."""

    @property
    def uid(self) -> str: ...


T = TypeVar("T", bound=View)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for what; seconds. Measured and argued in ADR 17."""

    silence_s: float = 70.0
    """A watch that says nothing for so long is broken: bookmarks come about every 60 s."""
    stale_s: float = 180.0
    """After so long without a word from the server, what is known is no answer any more."""
    relist_s: tuple[float, float] = (300.0, 600.0)
    """All is listed anew after a time between these, chosen by chance, whatever the watch said."""
    first_pause_s: float = 0.1
    longest_pause_s: float = 10.0
    lasted_s: float = 60.0
    """A watch that lasted so long was no failure: after it the pauses begin from the first."""


_PACE = Pace()


class Reflector(Generic[T]):
    """What the API server holds under `path` and `selector`, as `project` sees it; objects it makes None of are not ours.

    Args:
        clock: seconds, never going back.
        chance: a number between its two arguments.
    """

    def __init__(
        self,
        connection: KubeConnection,
        path: str,
        selector: str,
        project: Callable[[dict[str, Any]], T | None],
        pace: Pace = _PACE,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._connection = connection
        self._path = path
        self._selector = selector
        self._project = project
        self._pace = pace
        self._clock = clock
        self._chance = chance
        self._known: dict[str, T] = {}
        self._heard_at = float("-inf")
        self._relist_at = float("-inf")
        self._version: str | None = None
        self._listed = asyncio.Event()
        self._moved = asyncio.Event()

    def items(self) -> list[T]:
        """Raises `Unavailable` before the first list is in, and when nothing has been heard for long."""
        if not self._listed.is_set():
            raise Unavailable(f"{self._path} has not been listed yet")
        if self._stale():
            raise Unavailable(f"nothing has been heard of {self._path} for more than {self._pace.stale_s:g} s")
        return list(self._known.values())

    async def synced(self, limit_s: float) -> None:
        """Wait for the first list. Raises `Unavailable` when it is not in within the limit."""
        try:
            async with asyncio.timeout(limit_s):
                await self._listed.wait()
        except TimeoutError:
            raise Unavailable(f"{self._path} could not be listed within {limit_s:g} s") from None

    async def changed(self) -> None:
        """Return soon after something has changed, and at once if that was since the last call. For one waiter."""
        await self._moved.wait()
        self._moved.clear()

    async def run(self) -> None:
        """Until cancelled. Trouble is waited out, longer each time, and never raised."""
        pause = self._pace.first_pause_s
        while True:
            began = self._clock()
            try:
                # A watch may also fail for ever because of where it begins, without the server saying so.
                if self._version is None or self._stale() or self._clock() > self._relist_at:
                    await self._list()
                await self._watch()
            except Gone:
                self._version = None
            except PortError as error:
                _log.warning("the API server cannot be followed; trying again", path=self._path, error=str(error))
            except Exception:
                # An object that nobody foresaw must not end what all jobs depend on.
                _log.exception("following the API server failed; listing anew", path=self._path)
                self._version = None
            # However it ended: what lasted is soon taken up again, what ends at once is left alone for longer each time.
            lasted = self._clock() - began > self._pace.lasted_s
            pause = self._pace.first_pause_s if lasted else min(pause * 2, self._pace.longest_pause_s)
            await asyncio.sleep(pause * self._chance(0.5, 1.5))

    async def _list(self) -> None:
        """Read all pages, and only then replace what is known, at once."""
        found: dict[str, T] = {}
        query: dict[str, str | int] = {"labelSelector": self._selector, "limit": _PAGE}
        for _ in range(_MOST_PAGES):
            raws, version, token = _page(await self._connection.get(self._path, query))
            found.update((view.uid, view) for raw in raws if (view := self._seen(raw)) is not None)
            if not token:
                break
            query = {**query, "continue": token}
        else:
            raise Unavailable(f"the list of {self._path} does not end after {_MOST_PAGES} pages")
        self._known = found
        self._version = version
        self._relist_at = self._clock() + self._chance(*self._pace.relist_s)
        self._hear(moved=True)
        self._listed.set()

    async def _watch(self) -> None:
        query: dict[str, str | int] = {
            "labelSelector": self._selector,
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": _WATCH_S,
        }
        async with aclosing(self._connection.watch(self._path, query, self._pace.silence_s)) as events:
            async for event in events:
                self._take(event)
                if self._clock() > self._relist_at:
                    return

    def _take(self, event: dict[str, Any]) -> None:
        kind, raw = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            trouble = Gone if raw.get("code") == HTTPStatus.GONE else Unavailable
            raise trouble(f"the watch ended with an error: {raw.get('message', '')}")
        metadata = raw.get("metadata") or {}
        self._version = str(metadata.get("resourceVersion") or self._version)
        if kind == "BOOKMARK":
            self._hear(moved=False)
            return
        view = None if kind == "DELETED" else self._seen(raw)
        if view is None:
            self._known.pop(str(metadata.get("uid")), None)
        else:
            self._known[view.uid] = view
        self._hear(moved=True)

    def _hear(self, *, moved: bool) -> None:
        self._heard_at = self._clock()
        if moved:
            self._moved.set()

    def _stale(self) -> bool:
        return self._clock() - self._heard_at > self._pace.stale_s

    def _seen(self, raw: dict[str, Any]) -> T | None:
        try:
            return self._project(raw)
        except Exception:
            # One object that nobody foresaw must not hide all the others.
            _log.exception("an object could not be read; it is passed over", path=self._path)
            return None


def _page(answer: dict[str, Any]) -> tuple[list[dict[str, Any]], str, str]:
    """Its items, version and where it goes on. Anything else than a list is a failure, never "no objects"."""
    metadata, items = answer.get("metadata"), answer.get("items", ())
    if isinstance(metadata, dict) and metadata.get("resourceVersion") and (items is None or isinstance(items, list)):
        return items or [], str(metadata["resourceVersion"]), str(metadata.get("continue") or "")
    raise Unavailable("the API server answered with something that is no list")
