"""An API server that does on command what a real one cannot be made to do: be silent, forget, break off, answer nonsense.

It serves one collection at PATH: lists in pages, watches from a queue. Everything else about it is real HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

PATH = "/apis/batch/v1/namespaces/scripted/jobs"
TOKEN = "a-token-that-nobody-may-read"
Json = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedKube:
    """`objects` are listed; `instead` holds answers to the next requests of any kind; `say` writes to all open watches."""

    def __init__(self) -> None:
        self.objects: list[Json] = []
        self.version = 1
        self.instead: deque[Answer] = deque()
        self.requests: list[web.Request] = []
        self.page_gate = asyncio.Event()
        """Pages after the first wait for it."""
        self.page_gate.set()
        self.url = ""
        self._watches: set[web.StreamResponse] = set()
        self._watched = asyncio.Event()

    @property
    def lists(self) -> int:
        return sum("watch" not in request.query and "continue" not in request.query for request in self.requests)

    @property
    def watches(self) -> list[web.Request]:
        return [request for request in self.requests if "watch" in request.query]

    async def watched(self, limit_s: float = 5.0) -> None:
        """Wait until a watch is open."""
        async with asyncio.timeout(limit_s):
            while not self._watches:
                self._watched.clear()
                await self._watched.wait()

    async def say(self, kind: str, raw: Json) -> None:
        await self.write(json.dumps({"type": kind, "object": raw}).encode() + b"\n")

    async def write(self, text: bytes) -> None:
        for watch in list(self._watches):
            await watch.write(text)

    def break_off(self) -> None:
        """Cut all watches, as a server that dies does."""
        for request in self.watches:
            if request.transport is not None:
                request.transport.abort()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.instead:
            return await self.instead.popleft()(request)
        return await (self._watch(request) if "watch" in request.query else self._list(request))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        begin = int(request.query.get("continue", "0"))
        if begin:
            await self.page_gate.wait()
        end = begin + int(request.query.get("limit", "500"))
        metadata = {"resourceVersion": str(self.version), "continue": str(end) if end < len(self.objects) else ""}
        return web.json_response({"kind": "JobList", "metadata": metadata, "items": self.objects[begin:end]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self._watches.add(response)
        self._watched.set()
        try:
            await asyncio.sleep(3600)
        finally:
            self._watches.discard(response)
        return response


def refusal(status: int, message: str = "as scripted") -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        body = {"kind": "Status", "status": "Failure", "code": status, "message": message}
        return web.json_response(body, status=status)

    return answer


def words(text: str) -> Answer:
    """An answer of 200 with this body."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return answer


async def nothing(_: web.Request) -> web.StreamResponse:
    """No answer at all."""
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits for an hour")


@asynccontextmanager
async def scripted_kube() -> AsyncIterator[ScriptedKube]:
    kube = ScriptedKube()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", kube.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kube.url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield kube
    finally:
        await runner.cleanup()


def kubeconfig(folder: Path, url: str) -> Path:
    """How to reach `url` with TOKEN."""
    settings = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": {"token": TOKEN}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(settings))
    return path


def job(number: int, version: int = 1) -> Json:
    """A Job of ours as the API server tells of it, with the size of a real one."""
    labels = {"vidette.dev/job-id": f"00000000-0000-0000-0000-{number:012}", "vidette.dev/attempt": "1"}
    metadata = {
        "name": f"vidette-{number}",
        "uid": f"uid-{number}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": labels,
        "annotations": {"vidette.dev/spec-hash": "0123456789abcdef"},
    }
    environment = [{"name": f"VIDETTE_SETTING_{index}", "value": "v" * 40} for index in range(40)]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "env": environment}]}}
    return {"metadata": metadata, "spec": {"template": template}, "status": {"active": 1}}
