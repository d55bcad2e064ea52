"""The launcher of the embedded stack: workers as local processes, asked for over a unix socket.

The other side is the stack's supervisor (`vidette_local.jobs`), so that workers outlive the controller. The wire format is
JSON of the port's own types and is defined here, for both sides:

    POST   /jobs                        LaunchSpec -> 201 LaunchedJob, 409 when the name is taken
    GET    /jobs                        -> 200 [LaunchedJob]
    GET    /jobs/{name}                 -> 200 LaunchedJob, 404
    POST   /jobs/{name}/workers?uid=&workers=  -> 202, 404, 409 when the name belongs to another uid, or the job has ended
    DELETE /jobs/{name}?uid=            -> 202, 404, 409 when the name belongs to another uid
    GET    /changes?after=<n>&wait=<s>  -> 200 {"change": n}: at once when n is not `after`, else at a change or after `wait`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from vidette_core.ports.errors import Conflict, NotFound, PortError, Rejected, Unavailable
from vidette_core.ports.launcher import LaunchedJob, LaunchSpec, Note

SPEC = TypeAdapter(LaunchSpec)
JOB = TypeAdapter(LaunchedJob)
JOBS = TypeAdapter(list[LaunchedJob])

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class ProcessLauncher:
    """`vidette_core.ports.launcher.Launcher` over the supervisor's socket.

    Args:
        socket_path: the supervisor's unix socket.
        timeout_seconds: limit for one request.
        poll_seconds: how long `changes` waits for a change before it yields without one.
    """

    def __init__(self, socket_path: Path, timeout_seconds: float = 5.0, poll_seconds: float = 15.0) -> None:
        self._timeout = timeout_seconds
        self._poll = poll_seconds
        transport = httpx.AsyncHTTPTransport(uds=str(socket_path))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://supervisor", timeout=timeout_seconds)

    async def close(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def create(self, spec: LaunchSpec) -> LaunchedJob:
        response = await self._ask("POST", "/jobs", content=SPEC.dump_json(spec))
        if response.status_code == 409:
            raise Conflict(f"a job named {spec.name} exists already")
        return self._job(response)

    async def get(self, name: str) -> LaunchedJob:
        response = await self._ask("GET", _path(name))
        if response.status_code == 404:
            raise NotFound(f"there is no job named {name}")
        return self._job(response)

    async def list(self) -> list[LaunchedJob]:
        response = await self._ask("GET", "/jobs")
        _expect_success(response)
        try:
            return JOBS.validate_json(response.content)
        except ValidationError as error:
            raise Unavailable("the supervisor's list of jobs cannot be understood") from error

    async def grow(self, name: str, uid: str, workers: int) -> None:
        params: dict[str, str | float] = {"uid": uid, "workers": workers}
        response = await self._ask("POST", f"{_path(name)}/workers", params=params)
        if response.status_code == 404:
            raise NotFound(f"there is no job named {name}")
        if response.status_code == 409:
            raise Conflict(f"the job named {name} is another one than {uid}, or has ended")
        _expect_success(response)

    async def delete(self, name: str, uid: str) -> None:
        response = await self._ask("DELETE", _path(name), params={"uid": uid})
        if response.status_code == 409:
            raise Conflict(f"the job named {name} is another one than {uid}")
        if response.status_code != 404:
            _expect_success(response)

    async def tell(self, name: str, uid: str, note: Note) -> None:
        """Nothing to write on: whoever runs the embedded stack reads the same in the controller's log."""

    async def changes(self) -> AsyncIterator[None]:
        seen: int | None = None
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                seen = await self._next_change(seen)
                pause = _FIRST_PAUSE_SECONDS
            except PortError:  # of every kind: a supervisor of another version may well refuse the question
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            yield

    async def _next_change(self, after: int | None) -> int:
        """A supervisor that started anew counts from the beginning: any other number than `after` is a change."""
        params = {"after": -1 if after is None else after, "wait": self._poll}
        response = await self._ask("GET", "/changes", params=params, timeout=self._poll + self._timeout)
        _expect_success(response)
        try:
            return int(response.json()["change"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable("the supervisor's answer cannot be understood") from error

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        params: Mapping[str, str | float] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        try:
            return await self._client.request(
                method, path, content=content, params=params, timeout=timeout or self._timeout
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"the supervisor does not answer ({type(error).__name__})") from error

    def _job(self, response: httpx.Response) -> LaunchedJob:
        _expect_success(response)
        try:
            return JOB.validate_json(response.content)
        except ValidationError as error:
            raise Unavailable("the supervisor's answer cannot be understood") from error


def _path(name: str) -> str:
    return f"/jobs/{quote(name, safe='')}"


def _expect_success(response: httpx.Response) -> None:
    if response.is_success:
        return
    if response.status_code in (400, 413, 422):
        raise Rejected(f"the supervisor refuses the request ({response.status_code})")
    raise Unavailable(f"the supervisor answers {response.status_code}")
