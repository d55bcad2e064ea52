"""The supervisor's HTTP API on a unix socket: jobs for the controller, and the list of parts for `vidette ps`.

`vidette_core.adapters.process_launcher` defines the wire format. Only processes of the same user reach the socket.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vidette_core.adapters.process_launcher import JOB, JOBS, SPEC
from vidette_core.ports.errors import Conflict, NotFound
from vidette_core.serving import server_on_socket
from vidette_local.jobs.cluster import Cluster
from vidette_local.supervisor import PartStatus

_LONGEST_WAIT_SECONDS = 60.0
_LARGEST_SPEC_BYTES = 1024 * 1024
_STARTS_SECONDS = 10.0
_ENDS_SECONDS = 1


@contextmanager
def _as_http() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise HTTPException(404, str(error)) from error
    except Conflict as error:
        raise HTTPException(409, str(error)) from error


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def application(cluster: Cluster, parts: Callable[[], list[PartStatus]]) -> Starlette:
    """The ASGI application; `parts` is asked for each `ps`."""

    async def create(request: Request) -> Response:
        body = await request.body()
        if len(body) > _LARGEST_SPEC_BYTES:
            raise HTTPException(413, "the specification is too large")
        try:
            spec = SPEC.validate_json(body)
        except ValidationError as error:
            # Without the values: a specification holds secrets.
            raise HTTPException(422, f"not a launch specification: {error.error_count()} errors") from error
        with _as_http():
            return _json(JOB.dump_json(cluster.create(spec)), 201)

    async def get(request: Request) -> Response:
        with _as_http():
            return _json(JOB.dump_json(cluster.get(request.path_params["name"])))

    async def list_jobs(_: Request) -> Response:
        return _json(JOBS.dump_json(cluster.all()))

    async def grow(request: Request) -> Response:
        try:
            workers = int(request.query_params.get("workers", ""))
        except ValueError as error:
            raise HTTPException(422, "workers is a number") from error
        with _as_http():
            cluster.grow(request.path_params["name"], request.query_params.get("uid", ""), workers)
        return Response(status_code=202)

    async def delete(request: Request) -> Response:
        with _as_http():
            cluster.delete(request.path_params["name"], request.query_params.get("uid", ""))
        return Response(status_code=202)

    async def changes(request: Request) -> Response:
        try:
            after = int(request.query_params.get("after", "-1"))
            wait = min(float(request.query_params.get("wait", "0")), _LONGEST_WAIT_SECONDS)
        except ValueError as error:
            raise HTTPException(422, "after and wait are numbers") from error
        change = await cluster.wait_change(after, wait)
        if cluster.closed:
            raise HTTPException(503, "the stack is stopping")
        return JSONResponse({"change": change})

    async def list_parts(_: Request) -> Response:
        return JSONResponse([asdict(status) for status in parts()])

    routes = [
        Route("/jobs", create, methods=["POST"]),
        Route("/jobs", list_jobs, methods=["GET"]),
        Route("/jobs/{name}", get, methods=["GET"]),
        Route("/jobs/{name}", delete, methods=["DELETE"]),
        Route("/jobs/{name}/workers", grow, methods=["POST"]),
        Route("/changes", changes, methods=["GET"]),
        Route("/parts", list_parts, methods=["GET"]),
    ]
    return Starlette(routes=routes)


@asynccontextmanager
async def serving(app: Starlette, path: Path) -> AsyncIterator[None]:
    """Serve on the unix socket at `path` for the length of the block. The caller holds the state folder's lock."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(64)
        server = server_on_socket(app, shutdown_s=_ENDS_SECONDS)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="supervisor's socket")
        try:
            async with asyncio.timeout(_STARTS_SECONDS):
                while not server.started and not task.done():
                    await asyncio.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            await task
            path.unlink(missing_ok=True)
