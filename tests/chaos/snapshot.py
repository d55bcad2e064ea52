"""Reads what an episode has left, past the proxies: rows, objects, multipart uploads, launched jobs, processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import boto3
import httpx
import psutil
from botocore.config import Config

from tests.chaos.clients import PATIENT, QUICK, digest_of, warnings_of
from tests.chaos.evidence import ChunkRow, JobRecord, Outcome, SegmentRow
from tests.chaos.place import Place
from tests.support.processes import stack_processes
from vidette.client import Client
from vidette.models import JobState
from vidette_core.adapters.process_launcher import JOBS
from vidette_core.ports.launcher import LaunchedJob
from vidette_local import credentials
from vidette_local.parts.postgres import DATABASE, USER
from vidette_local.parts.s3 import BUCKET, REGION

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_JOBS = """
SELECT id::text, state::text, pipeline_digest IS NOT NULL AS submitted, extract(epoch FROM created_at)::float8 AS created,
       extract(epoch FROM finished_at)::float8 AS finished, swept_at IS NOT NULL AS swept, coalesce(frame_stride, 1) AS stride,
       coalesce(max_frames, 0) AS max_frames, coalesce(max_workers, 0) AS max_workers, coalesce(error_code, '') AS code,
       coalesce(error_message, '') AS message, frames_ok + frames_decode_error + frames_model_error AS frames, source_bytes
FROM jobs ORDER BY created_at, id
"""
_SEGMENTS = """
SELECT job_id::text AS job, index, state::text, first_sample AS first, next_sample AS next, end_sample AS end
FROM segments ORDER BY job_id, index
"""
_CHUNKS = """
SELECT job_id::text AS job, first_sample AS first, ok + decode_error + model_error AS frames, bytes, key
FROM chunks ORDER BY job_id, first_sample
"""

FORESEEN = ("something the worker needs stayed away", "the results of a job broke off")
"""Errors to whoever runs the service, and what a fault does: the worker ends with 75, the reader asks again."""


@dataclass(frozen=True, slots=True)
class Rows:
    jobs: tuple[JobRecord, ...]
    segments: tuple[SegmentRow, ...]
    chunks: tuple[ChunkRow, ...]


def rows(place: Place) -> Rows:
    """Raises `OSError` or `asyncpg.PostgresError` when the database does not answer (yet)."""
    jobs, segments, chunks = asyncio.run(_ask(place, _JOBS, _SEGMENTS, _CHUNKS))
    return Rows(
        tuple(JobRecord(**row) for row in jobs),
        tuple(SegmentRow(**row) for row in segments),
        tuple(ChunkRow(**row) for row in chunks),
    )


async def _ask(place: Place, *queries: str) -> list[Sequence[Mapping[str, Any]]]:
    password = credentials.load_or_make(place.home.secrets).postgres_password
    at = {"host": "127.0.0.1", "port": place.numbers["postgres"]}
    connection = await asyncpg.connect(**at, user=USER, password=password, database=DATABASE, ssl=False, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return [await connection.fetch(query, timeout=20) for query in queries]
    finally:
        await connection.close()


def objects(place: Place) -> dict[str, int]:
    """The size of every object in the bucket."""
    pages = _store(place).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}


def uploads(place: Place) -> tuple[str, ...]:
    """The keys of the multipart uploads that are open."""
    listed = _store(place).list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return tuple(sorted(upload["Key"] for upload in listed))


def _store(place: Place) -> S3Client:
    secrets = credentials.load_or_make(place.home.secrets)
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{place.numbers['s3']}",
        aws_access_key_id=secrets.s3_access_key,
        aws_secret_access_key=secrets.s3_secret_key,
        region_name=REGION,
        config=Config(proxies={}, retries={"max_attempts": 5, "mode": "standard"}),
    )


def launched(place: Place) -> tuple[LaunchedJob, ...]:
    """What the launcher knows."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(place.home.socket)), timeout=10) as client:
        answer = client.get("http://supervisor/jobs").raise_for_status()
    return tuple(JOBS.validate_json(answer.content))


def at_work(place: Place) -> tuple[str, ...]:
    """Launched jobs that have a pod that runs."""
    return tuple(job.name for job in launched(place) if any(pod.exit_code is None for pod in job.pods))


def needless_processes(place: Place) -> tuple[str, ...]:
    """Workers, and controllers beyond the stack's own: nobody needs them once all jobs have ended."""
    own = {line["pid"] for line in place.stack.ps() if not line["name"].startswith("worker-")}
    modules = ("vidette_frame_worker", "vidette_controller")
    found = ((pid, line) for pid, line in commands(place) if any(module in line for module in modules))
    return tuple(f"{pid}: {line}" for pid, line in found if pid not in own)


def commands(place: Place) -> Iterator[tuple[int, str]]:
    """Every living process of the stack, but for its supervisor."""
    for pid in stack_processes(place.home.path):
        try:
            yield pid, " ".join(psutil.Process(pid).cmdline())
        except psutil.NoSuchProcess:
            continue


def outcries(place: Place, folder: Path) -> tuple[str, ...]:
    """Lines in the services' logs, each with the name of its log. A traceback is told by its last line, the error itself."""
    logs = [*place.home.logs.glob("worker-*.log"), *(place.home.logs / f"{name}.log" for name in ("api", "controller"))]
    logs += folder.glob("more-controllers.log")
    return tuple(
        f"{log.stem}: {line}"[:400] for log in sorted(logs) for line in unforeseen(log.read_text().splitlines())
    )


def unforeseen(lines: Iterable[str]) -> Iterator[str]:
    """Errors among the lines of one log: those that are logged as such, and the last lines of tracebacks."""
    within = False
    for line in lines:
        if within and line and not line[0].isspace():
            within = False
            yield line
        elif line.startswith("Traceback (most recent call last)"):
            within = True
        elif '"level": "error"' in line and not any(event in line for event in FORESEEN):
            yield line


def outcome(client: Client, job_id: str) -> Outcome:
    """As a client reads it. Raises `VidetteError`."""
    status = client.status(UUID(job_id))
    if status.status is not JobState.COMPLETED:
        code = status.error.code if status.error else ""
        return Outcome(status.status.value, code, warnings=warnings_of(status))
    count, digest = digest_of(client, UUID(job_id))
    return Outcome(status.status.value, "", count, digest, warnings_of(status))


def outcomes(url: str, job_ids: Sequence[str]) -> dict[str, Outcome]:
    with Client(url, QUICK, PATIENT) as client:
        return {job_id: outcome(client, job_id) for job_id in job_ids}
