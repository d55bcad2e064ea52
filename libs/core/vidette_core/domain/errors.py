"""Every error a client or an operator can meet, in one place: its code, and when it happens.

A code is what programs switch on; a message is for people; a remedy says what to do next. HTTP statuses are not here: they
are the api's business (`vidette_api.http_errors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes are part of the public contract: never rename one, never reuse one."""

    # A request that was refused. The client corrects it and sends it again.
    INVALID_FORMAT = "invalid_format"
    """The bytes are no MP4, MOV or AVI, whatever the file's name says."""
    INVALID_REQUEST = "invalid_request"
    """A field is missing, unknown, given twice or out of its range; or the body is not the multipart form expected."""
    UNKNOWN_PIPELINE = "unknown_pipeline"
    """`pipeline_id` names no pipeline of this installation."""
    UPLOAD_TOO_LARGE = "upload_too_large"
    """The upload is past the configured number of bytes."""
    UPLOAD_TIMEOUT = "upload_timeout"
    """The client took longer to send the body than the configured time, or a worker to send a chunk."""
    UPLOAD_ABORTED = "upload_aborted"
    """The client went away, or the api died, before the upload was complete."""
    NOT_FOUND = "not_found"
    """No job with that id, or nothing under that path."""
    NOT_COMPLETED = "not_completed"
    """The job has no results, because it is not completed."""
    JOB_OVER = "job_over"
    """The job has ended, so it cannot be cancelled any more."""
    METHOD_NOT_ALLOWED = "method_not_allowed"
    """The path is there, but not for this method."""

    # A worker that the gateway refused. Clients never meet these.
    UNAUTHORIZED = "unauthorized"
    """The token is missing, malformed, over, or for another purpose."""
    FENCED = "fenced"
    """The fence is not in force: another worker has taken over, or the job is over."""
    CONFLICT = "conflict"
    """What the worker says does not fit what is recorded, e.g. a chunk behind a gap."""

    # The service cannot answer now. The client tries again later.
    DATABASE_UNAVAILABLE = "database_unavailable"
    """PostgreSQL does not answer."""
    STORE_UNAVAILABLE = "store_unavailable"
    """The S3 store does not answer, or answers with an error."""
    TOO_MANY_UPLOADS = "too_many_uploads"
    """This api process already takes as many uploads as it is allowed to."""
    STOPPING = "stopping"
    """This api process is being stopped, and the request took longer than it waits."""

    # A job that failed. It will not run again by itself.
    INVALID_VIDEO = "invalid_video"
    """No readable index, no video track or more tracks than allowed, no frame that decodes, one that takes too long to, or a
    file that kills the decoder again and again."""
    TOO_LONG = "too_long"
    """More frames or more seconds than the installation allows."""
    TOO_LARGE_FRAME = "too_large_frame"
    """A frame has more pixels than the installation allows."""
    PIPELINE_UNAVAILABLE = "pipeline_unavailable"
    """A model that the job pinned is not served, or refuses a known-good request."""
    FRAMES_FAILED = "frames_failed"
    """More of the frames erred than the installation tolerates."""
    DEADLINE_EXCEEDED = "deadline_exceeded"
    """The job ran longer than the installation allows."""
    NO_PROGRESS = "no_progress"
    """Workers claimed the job again and again and committed nothing."""
    OUT_OF_MEMORY = "out_of_memory"
    """A worker was killed for its memory limit, and for a higher one too where there is one."""
    WORKER_UNAVAILABLE = "worker_unavailable"
    """The cluster could not start a worker for longer than the installation waits; the message says why."""
    CANCELLED = "cancelled"
    """Its client asked for that."""
    INTERNAL = "internal"
    """A defect of Vidette. The job's log lines, found by its id, say more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as it is stored in a job's row and shown to people.

    `message` is one or two plain sentences: the cause and, where it helps, the remedy. It holds no stack, SQL, URL or secret.
    """

    code: ErrorCode
    message: str


class DomainError(Exception):
    """A rule of the domain was broken by the caller; carries the problem to show."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
