"""What the clients do, without doing it: each operation is a generator that says what to ask, send or wait for next.

`Client` and `AsyncClient` only carry the steps out, so that every decision (what is repeated, after how long, what an answer
means) is here once and for both. A step's outcome is sent back into the generator; an `httpx.RequestError` is thrown into it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel

from vidette.answers import bad_address, from_response, from_transport, is_loopback, read
from vidette.errors import ClientCode, ServiceUnavailable, VidetteError, job_failure, own_error
from vidette.models import JobState, JobStatus, Pipeline, ResultFacts, Verification
from vidette.retry import RetryPolicy, is_transient, may_send_again
from vidette.upload import Progress

_POLL_FIRST: Final = 0.2
_POLL_LONGEST: Final = 2.0
_POLL_GROWTH: Final = 1.4


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read` and `write` are silences on the wire, not whole requests.

    `accept` is the silence after the last byte of an upload: the service then completes it in its store, which for large
    videos takes some stores seconds. `outage` is how long `wait` bears a service that does not answer.
    """

    connect: float = 5.0
    read: float = 30.0
    write: float = 60.0
    accept: float = 120.0
    outage: float = 60.0


class Take(Enum):
    """What is wanted of a successful answer; an unsuccessful one is read to its end, for what it says."""

    ALL = auto()
    HEAD = auto()
    STREAM = auto()


@dataclass(frozen=True, slots=True)
class Ask:
    """A request without a body; its outcome is the response."""

    method: str
    path: str
    accept: str = "application/json"
    take: Take = Take.ALL


@dataclass(frozen=True, slots=True)
class Send:
    """An upload, on a connection of its own: only a new one is announced to the listener. Its outcome is the response."""

    path: Path
    fields: dict[str, str]
    on_progress: Progress | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds to wait."""

    seconds: float


Step = Ask | Send | Pause
Result = TypeVar("Result")
Flow = Generator[Step, Any, Result]


class _Submitted(BaseModel):
    job_id: UUID


class _Pipelines(BaseModel):
    pipelines: tuple[Pipeline, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One Vidette service, and how patient to be with it.

    `tls` is made once, since reading the certificates takes longer than many a request.
    """

    base_url: str
    timeouts: Timeouts
    retries: RetryPolicy
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)

    def connection(self, read: float) -> dict[str, Any]:
        """Arguments for an httpx client. Raises `BadAddress`."""
        limits = self.timeouts
        try:
            # A proxy of the environment cannot reach what listens on this machine only.
            trust_env = not is_loopback(self.base_url)
            base_url = httpx.URL(self.base_url)
        except (httpx.InvalidURL, ValueError) as error:
            raise bad_address(self.base_url) from error
        timeout = httpx.Timeout(connect=limits.connect, read=read, write=limits.write, pool=limits.connect)
        return {
            "base_url": base_url,
            "timeout": timeout,
            "verify": self.tls,
            "headers": {"User-Agent": "vidette"},
            "trust_env": trust_env,
        }

    def asked(
        self, step: Ask | Send, may_repeat: Callable[[VidetteError], bool] = is_transient
    ) -> Flow[httpx.Response]:
        """The successful answer to a step, repeated as far as that is allowed and of use."""
        failures = 0
        while True:
            try:
                response: httpx.Response = yield step
            except httpx.RequestError as lost:
                error = from_transport(lost, self.base_url)
                error.__cause__ = lost
            else:
                if response.is_success:
                    return response
                error = from_response(response)
            failures += 1
            delay = self.retries.delay(failures, error.retry_after) if may_repeat(error) else None
            if delay is None:
                raise error
            yield Pause(delay)

    def submit(
        self,
        path: Path,
        pipeline_id: str,
        frame_stride: int,
        max_frames: int | None,
        max_workers: int | None,
        on_progress: Progress | None,
    ) -> Flow[UUID]:
        fields = {"pipeline_id": pipeline_id, "frame_stride": str(frame_stride)}
        bounds = {"max_frames": max_frames, "max_workers": max_workers}
        fields |= {name: str(bound) for name, bound in bounds.items() if bound is not None}
        response = yield from self.asked(Send(Path(path), fields, on_progress), may_send_again)
        return read(_Submitted, response.content, self.base_url).job_id

    def status(self, job_id: UUID) -> Flow[JobStatus]:
        response = yield from self.asked(Ask("GET", f"/video/status/{job_id}"))
        return read(JobStatus, response.content, self.base_url)

    def cancel(self, job_id: UUID) -> Flow[JobStatus]:
        response = yield from self.asked(Ask("POST", f"/video/cancel/{job_id}"))
        return read(JobStatus, response.content, self.base_url)

    def verify(
        self,
        job_id: UUID,
        frames: int | None,
        seed: int | None,
        timeout: float | None,
        on_status: Callable[[JobStatus], None] | None,
    ) -> Flow[Verification]:
        bounds = {"frames": frames, "seed": seed}
        query = httpx.QueryParams({name: bound for name, bound in bounds.items() if bound is not None})
        # Repeated only where no verification can have been made, as with a submission.
        response = yield from self.asked(Ask("POST", f"/video/verify/{job_id}?{query}"), may_send_again)
        verification_id = read(_Submitted, response.content, self.base_url).job_id
        yield from self.finish(verification_id, timeout, on_status)
        response = yield from self.asked(Ask("GET", f"/video/verification/{verification_id}"))
        return read(Verification, response.content, self.base_url)

    def wait(
        self, job_id: UUID, timeout: float | None, on_status: Callable[[JobStatus], None] | None
    ) -> Flow[JobStatus]:
        deadline = None if timeout is None else time.monotonic() + timeout
        answered, pause = time.monotonic(), _POLL_FIRST
        while True:
            try:
                status = yield from self.status(job_id)
            except ServiceUnavailable:
                if time.monotonic() - answered > self.timeouts.outage:
                    raise
            else:
                answered = time.monotonic()
                if on_status is not None:
                    on_status(status)
                if status.status.is_final:
                    return status
            if deadline is not None and time.monotonic() + pause > deadline:
                detail = f"The job {job_id} did not end within {timeout:g} s. It goes on; ask for its status later."
                raise own_error(ClientCode.STILL_RUNNING, detail)
            yield Pause(pause)
            pause = min(pause * _POLL_GROWTH, _POLL_LONGEST)

    def finish(self, job_id: UUID, timeout: float | None, on_status: Callable[[JobStatus], None] | None) -> Flow[None]:
        """The second half of `run`: the job is completed, or `JobFailed` is raised."""
        status = yield from self.wait(job_id, timeout, on_status)
        if status.status is JobState.FAILED:
            why = status.error
            code, message = (why.code, why.message) if why else ("unknown", "The service does not say why.")
            raise job_failure(code, f"The job {job_id} failed: {message}", job_id)

    def facts(self, job_id: UUID) -> Flow[ResultFacts]:
        response = yield from self.asked(Ask("GET", f"/video/results/{job_id}?limit=1"))
        return read(ResultFacts, response.content, self.base_url)

    def pipelines(self) -> Flow[tuple[Pipeline, ...]]:
        response = yield from self.asked(Ask("GET", "/pipelines"))
        return read(_Pipelines, response.content, self.base_url).pipelines
