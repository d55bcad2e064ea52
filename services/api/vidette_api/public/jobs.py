"""From the id in a path to the job: a malformed id is as unknown as an unknown one."""

from __future__ import annotations

from uuid import UUID

from vidette_api.wiring import Services
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.jobs import Job
from vidette_core.ports.errors import NotFound

NOT_FOUND = Problem(ErrorCode.NOT_FOUND, "Job not found")
"""The sentence is part of the contract."""


async def find_job(services: Services, job_id: str) -> Job:
    """Raises `DomainError` when there is no such job."""
    try:
        return await services.reader.job(_canonical(job_id), services.tenant)
    except (ValueError, NotFound) as error:
        raise DomainError(NOT_FOUND) from error


def _canonical(job_id: str) -> UUID:
    """`UUID` itself also takes braces, `urn:uuid:` and no hyphens at all. Raises `ValueError`."""
    parsed = UUID(job_id)
    if str(parsed) != job_id.lower():
        raise ValueError("not as RFC 9562 writes it")
    return parsed
