"""Follows one kind of object in one namespace: a list, then a watch, then again, keeping a few fields of each object.

Ours, because the client's own has no back-off, asks for no bookmarks and waits for ever on a silent peer (ADR 17). What it holds
is a hint, but never "nothing there" for "nobody knows": without a list, or after a long silence, it is `Unavailable`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import structlog

from vidette_core.adapters.kube.connection import Gone, KubeConnection
from vidette_core.ports.errors import PortError, Unavailable

_log = structlog.get_logger(__name__)
_PAGE = 500
_WATCH_S = 240
_SILENCE_S = 70.0
"""Bookmarks come about every 60 s."""
_STALE_S = 180.0
_RELIST_S = (300.0, 600.0)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_LASTED_S = 60.0


class View(Protocol):
    """What is kept of an object."""

    @property
    def uid(self) -> str: ...


T = TypeVar("T", bound=View)


class Reflector(Generic[T]):
    """What the API server holds under `path` and `selector`, as `project` sees it; objects it makes None of are not ours.

    Args:
        silence_s: a watch that says nothing for so long is broken.
        stale_s: after so long without a word from the server, what is known is no answer any more.
    """

    def __init__(
        self,
        connection: KubeConnection,
        path: str,
        selector: str,
        project: Callable[[dict[str, Any]], T | None],
        silence_s: float = _SILENCE_S,
        stale_s: float = _STALE_S,
    ) -> None:
        self._connection = connection
        self._path = path
        self._selector = selector
        self._project = project
        self._silence_s = silence_s
        self._stale_s = stale_s
        self._known: dict[str, T] = {}
        self._heard_at = float("-inf")
        self._relist_at = float("-inf")
        self._version: str | None = None
        self._moved = asyncio.Event()

    def items(self) -> list[T]:
        """Raises `Unavailable` before the first list is in, and when nothing has been heard for long."""
        if time.monotonic() - self._heard_at > self._stale_s:
            raise Unavailable(f"nothing has been heard of {self._path} for more than {self._stale_s:g} s")
        return list(self._known.values())

    async def synced(self, limit_s: float) -> None:
        """Wait for the first list. Raises `Unavailable` when it is not in within the limit."""
        try:
            async with asyncio.timeout(limit_s):
                while self._heard_at == float("-inf"):
                    await self.changed()
        except TimeoutError:
            raise Unavailable(f"{self._path} could not be listed within {limit_s:g} s") from None

    async def changed(self) -> None:
        """Return soon after something has changed."""
        await self._moved.wait()

    async def run(self) -> None:
        """Until cancelled. Trouble is waited out, longer each time, and never raised."""
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                if self._version is None or time.monotonic() > self._relist_at:
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
            pause = _FIRST_PAUSE_S if time.monotonic() - began > _LASTED_S else min(pause * 2, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))

    async def _list(self) -> None:
        """Read all pages, and only then replace what is known, at once."""
        found: dict[str, T] = {}
        query: dict[str, str | int] = {"labelSelector": self._selector, "limit": _PAGE}
        while True:
            page = await self._connection.get(self._path, query)
            for raw in page.get("items") or ():
                view = self._project(raw)
                if view is not None:
                    found[view.uid] = view
            metadata = page.get("metadata") or {}
            token = metadata.get("continue")
            if not token:
                break
            query = {**query, "continue": token}
        self._known = found
        self._version = str(metadata.get("resourceVersion") or "")
        self._relist_at = time.monotonic() + random.uniform(*_RELIST_S)
        self._hear(moved=True)

    async def _watch(self) -> None:
        query: dict[str, str | int] = {
            "labelSelector": self._selector,
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": _WATCH_S,
        }
        async for event in self._connection.watch(self._path, query, self._silence_s):
            self._take(event)
            if time.monotonic() > self._relist_at:
                return

    def _take(self, event: dict[str, Any]) -> None:
        kind, raw = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            trouble = Gone if raw.get("code") == 410 else Unavailable
            raise trouble(f"the watch ended with an error: {raw.get('message', '')}")
        metadata = raw.get("metadata") or {}
        self._version = str(metadata.get("resourceVersion") or self._version)
        if kind == "BOOKMARK":
            self._hear(moved=False)
            return
        view = None if kind == "DELETED" else self._project(raw)
        if view is None:
            self._known.pop(str(metadata.get("uid")), None)
        else:
            self._known[view.uid] = view
        self._hear(moved=True)

    def _hear(self, *, moved: bool) -> None:
        self._heard_at = time.monotonic()
        if moved:
            self._moved.set()
            self._moved = asyncio.Event()
