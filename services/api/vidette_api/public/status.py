"""`GET /video/status/{job_id}`: where a job stands."""

from __future__ import annotations

from fastapi import APIRouter, Response

from vidette_api.public.jobs import find_job
from vidette_api.public.schemas import JobError, JobStatus, JobWarningAnswer, errors
from vidette_api.wiring import Wired
from vidette_core.domain.jobs import Job, JobState

router = APIRouter(tags=["video"])


@router.get("/video/status/{job_id}", summary="Ask how a job goes", responses=errors(404, 500, 503))
async def status(job_id: str, services: Wired, response: Response) -> JobStatus:
    """Asking every few seconds is fine."""
    response.headers["Cache-Control"] = "no-store"
    return status_of(await find_job(services, job_id))


def status_of(job: Job) -> JobStatus:
    problem = job.problem if job.state is JobState.FAILED else None
    return JobStatus(
        job_id=job.id,
        status=job.state,
        progress=job.progress,
        created_at=job.created_at,
        updated_at=job.updated_at,
        error=JobError(code=problem.code, message=problem.message) if problem else None,
        warnings=tuple(JobWarningAnswer(code=warning.code, message=warning.message) for warning in job.warnings),
    )
