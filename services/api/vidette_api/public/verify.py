"""`POST /video/verify/{job_id}` and `GET /video/verification/{job_id}`: do a completed job's results come out again?"""

from __future__ import annotations

import secrets
from typing import Annotated
from uuid import uuid4

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema
from starlette.background import BackgroundTask
from starlette.responses import Response

from vidette_api.http_errors import DEFECT
from vidette_api.public.chunk_reader import BadChunk, read_chunk
from vidette_api.public.jobs import NOT_FOUND, find_job
from vidette_api.public.parameters import LARGEST, given_once, whole_number
from vidette_api.public.results import NOT_COMPLETED
from vidette_api.public.schemas import Differing, Submitted, Verification, declared, errors
from vidette_api.wiring import Services, Wired
from vidette_core.domain.errors import DomainError
from vidette_core.domain.jobs import Job, JobState
from vidette_core.domain.results import FrameRow
from vidette_core.domain.verifying import Comparison, Difference, compare
from vidette_core.ports.errors import Conflict, NotFound

router = APIRouter(tags=["video"])
MOST_FRAMES = 1000
FRAMES = 30
_PARAMETERS = {"frames": MOST_FRAMES, "seed": LARGEST}
_log = structlog.get_logger(__name__)

Frames = Annotated[
    str | None,
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_FRAMES, "default": FRAMES}),
    Query(description="About how many frames are analysed once more."),
]
Seed = Annotated[
    str | None,
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST}),
    Query(description="Which frames are drawn; without it, others each time."),
]


@router.post(
    "/video/verify/{job_id}",
    summary="Verify a completed job",
    response_model=Submitted,
    responses={
        **declared(200, "The verification is a job of its own, with this id.", "Location"),
        **errors(400, 404, 500, 503),
    },
)
async def verify(request: Request, job_id: str, services: Wired, frames: Frames = None, seed: Seed = None) -> Response:
    """Some frames, drawn at random, are decoded and analysed once more. Follow it by its status, then ask what it found."""
    del frames, seed
    asked = given_once(request.query_params.multi_items(), _PARAMETERS)
    numbers = {name: whole_number(name, value, _PARAMETERS[name]) for name, value in asked.items()}
    drawn_by = numbers.get("seed") or 1 + secrets.randbelow(LARGEST)
    job, verification_id = await find_job(services, job_id), uuid4()
    try:
        most = numbers.get("frames", FRAMES)
        await services.verifying.request(job.id, verification_id, most, drawn_by, services.tenant)
    except NotFound as error:
        raise DomainError(NOT_FOUND) from error
    except Conflict as error:
        raise DomainError(NOT_COMPLETED) from error
    _log.info("to be verified", job_id=str(job.id), verification_id=str(verification_id), seed=drawn_by)
    headers = {"Location": f"{request.scope.get('root_path', '')}/video/status/{verification_id}"}
    wake = BackgroundTask(services.wakeup.wake, verification_id)
    return JSONResponse({"job_id": str(verification_id)}, headers=headers, background=wake)


@router.get("/video/verification/{job_id}", summary="Read what a verification found", responses=errors(404, 500, 503))
async def verification(job_id: str, services: Wired, response: Response) -> Verification:
    """How many frames came out as they are stored, and the first of those that did not."""
    response.headers["Cache-Control"] = "no-store"
    again = await find_job(services, job_id)
    if again.verifies is None:
        raise DomainError(NOT_FOUND)
    if again.state is not JobState.COMPLETED:
        raise DomainError(NOT_COMPLETED)
    job = await services.reader.job(again.verifies, services.tenant)
    try:
        compared = await _compared(services, job, again)
    except (BadChunk, NotFound) as error:
        _log.error("a committed chunk is not fit to be compared", job_id=str(job.id), error=str(error))
        raise DomainError(DEFECT) from error
    return Verification(
        job_id=again.id,
        verifies=job.id,
        frames=compared.frames,
        identical=compared.identical,
        close=compared.close,
        different=compared.different,
        differences=tuple(_differing(each) for each in compared.differences),
    )


async def _compared(services: Services, job: Job, verification: Job) -> Comparison:
    """Chunk by chunk, in constant memory. Raises `BadChunk`, `NotFound` and other errors of the ports."""
    together = Comparison()
    async for again in services.reader.chunks(verification, 0):
        chunk = await services.reader.chunk(job, again.first_sample)
        found = await read_chunk(services.store, again, job.sampling, services.results)
        stored = await read_chunk(services.store, chunk, job.sampling, services.results)
        if len(stored) < len(found):
            raise BadChunk(f"the chunk at sample {chunk.first_sample} ends too early")
        together += compare(stored[: len(found)], found)
    return together


def _differing(difference: Difference) -> Differing:
    stored, found = (FrameRow.model_validate_json(row) for row in (difference.stored, difference.found))
    return Differing(frame_index=stored.frame_index, stored=stored.result, found=found.result)
