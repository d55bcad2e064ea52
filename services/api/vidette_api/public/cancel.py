"""`POST /video/cancel/{job_id}`: the client does not want the results any more."""

from __future__ import annotations

from fastapi import APIRouter, Response

from vidette_api.public.jobs import find_job
from vidette_api.public.schemas import JobStatus, errors
from vidette_api.public.status import status_of
from vidette_api.wiring import Wired
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.jobs import JobState
from vidette_core.ports.errors import Conflict

router = APIRouter(tags=["video"])


@router.post("/video/cancel/{job_id}", summary="Cancel a job", responses=errors(404, 409, 500, 503))
async def cancel(job_id: str, services: Wired, response: Response) -> JobStatus:
    """Its workers stop at once, and soon its status is `failed` with the code `cancelled`. Asking again is fine."""
    response.headers["Cache-Control"] = "no-store"
    job = await find_job(services, job_id)
    try:
        await services.cancelling.request(job.id)
    except Conflict as conflict:
        problem = Problem(ErrorCode.JOB_OVER, "The job has ended already; there is nothing to cancel.")
        raise DomainError(problem) from conflict
    job = await find_job(services, job_id)
    if job.state is not JobState.FAILED:
        await services.wakeup.wake(job.id)
    return status_of(job)
