"""`GET /video/results/{job_id}`: what was found, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import WithJsonSchema
from starlette.responses import Response

from vidette_api.http_errors import DEFECT
from vidette_api.public.chunk_reader import BadChunk
from vidette_api.public.jobs import find_job
from vidette_api.public.negotiation import JSON, NDJSON, wants_ndjson
from vidette_api.public.paging import MOST, Page, next_link, page_asked, page_of
from vidette_api.public.result_stream import ResultStream, Rows, page_rows
from vidette_api.public.schemas import JobResults, Summary, declared, errors
from vidette_api.wiring import Services, Wired
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.jobs import Job, JobState, Tally, TextCounts
from vidette_core.domain.pipelines import Pipeline
from vidette_core.ports.errors import Unavailable
from vidette_core.telemetry.logs import job_in_logs

router = APIRouter(tags=["video"])
NOT_COMPLETED = Problem(ErrorCode.NOT_COMPLETED, "Job not completed")
"""The sentence is part of the contract."""
_NO_RESULTS = Problem(
    ErrorCode.NOT_FOUND, "This job verifies another and has no results. Ask /video/verification/<its id> what it found."
)
_log = structlog.get_logger(__name__)

# Declared here and read by `page_asked`: its sentences are ours, and it sees a name that is given twice or unknown.
Limit = Annotated[
    str | None,
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST}),
    Query(description="At most this many frames; the rest by the `Link`."),
]
Cursor = Annotated[str | None, Query(description="Where to go on, from the `Link` of the page before.")]


@router.get(
    "/video/results/{job_id}",
    summary="Read what was found",
    response_model=JobResults,
    responses={
        200: {
            **declared(200, "Every sampled frame of the page, in order.", "Link")[200],
            "content": {
                NDJSON: {"schema": {"type": "string", "description": "One element of `results` on each line."}}
            },
        },
        **errors(400, 404, 500, 503),
    },
)
async def results(
    request: Request, job_id: str, services: Wired, limit: Limit = None, cursor: Cursor = None
) -> Response:
    """Streamed: ten million frames are fine. With `Accept: application/x-ndjson`, one line for each frame."""
    del limit, cursor
    most, at = page_asked(request.query_params.multi_items())
    job = await find_job(services, job_id)
    if job.verifies is not None:
        raise DomainError(_NO_RESULTS)
    if job.state is not JobState.COMPLETED or job.tally is None:
        raise DomainError(NOT_COMPLETED)
    page = page_of(job.id, job.tally.frames, most, at)
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    link = next_link(page, job.id, request.url.path, request.url.query)
    if link is not None:
        headers["Link"] = link
    with job_in_logs(job.id):
        return await _stream(services, job, page, headers, wants_ndjson(request.headers.get("accept", "")))


async def _stream(services: Services, job: Job, page: Page, headers: dict[str, str], ndjson: bool) -> Response:
    pipeline = await services.reader.pipeline(job.pipeline_digest)
    rows = page_rows(services, job, page)
    try:
        # Before the headers go out, so that what is wrong with it can still be said with a status.
        async with asyncio.timeout(services.results.wait_s):
            first: Rows = await anext(rows, [])
    except TimeoutError as error:
        raise Unavailable("the store did not send the first rows in time") from error
    except BadChunk as error:
        _log.error("a committed chunk is not fit to be shown", error=str(error))
        raise DomainError(DEFECT) from error
    pieces = _ndjson(first, rows) if ndjson else _json(first, rows, *_frame(job, pipeline))
    return ResultStream(pieces, job.id, media_type=NDJSON if ndjson else JSON, headers=headers)


def _frame(job: Job, pipeline: Pipeline) -> tuple[bytes, bytes]:
    """What stands before and after the elements of `results`."""
    whole = JobResults(
        job_id=job.id,
        results=[],
        created_at=job.created_at,
        updated_at=job.updated_at,
        models=pipeline.models,
        summary=_summary(job.tally or Tally(), job.text or TextCounts()),
    )
    before, bracket, after = whole.model_dump_json().encode().partition(b'"results":[')
    return before + bracket, after


def _summary(tally: Tally, text: TextCounts) -> Summary:
    return Summary(
        frames=tally.frames,
        ok=tally.ok,
        decode_error=tally.decode_error,
        model_error=tally.model_error,
        lines_read=text.read,
        lines_reused=text.reused,
    )


async def _json(first: Rows, rows: AsyncGenerator[Rows], before: bytes, after: bytes) -> AsyncGenerator[bytes]:
    async with aclosing(rows):
        yield before + b",".join(first)
        async for more in rows:
            yield b"," + b",".join(more)
        yield after


async def _ndjson(first: Rows, rows: AsyncGenerator[Rows]) -> AsyncGenerator[bytes]:
    async with aclosing(rows):
        yield b"".join(row + b"\n" for row in first)
        async for more in rows:
            yield b"".join(row + b"\n" for row in more)
