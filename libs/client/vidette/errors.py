"""What can go wrong, a class for each code: the one table from which every error of the client is made.

`except` catches one kind of error by its class, what has the same remedy by the group, or all by `VidetteError`. A code that this
version does not know, of a newer service, becomes an error of its group with the code kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar, Final, TypeVar
from uuid import UUID


class ClientCode(StrEnum):
    """Codes of errors that no server sent. Those of the service are its own, and are passed on as they come."""

    UNREACHABLE = "unreachable"
    CONNECTION_LOST = "connection_lost"
    TIMED_OUT = "timed_out"
    STILL_RUNNING = "still_running"
    BAD_ANSWER = "bad_answer"
    BAD_ADDRESS = "bad_address"
    BAD_FILE = "bad_file"


class VidetteError(Exception):
    """All that the client raises.

    `status_code` is the HTTP status, or None when no answer came. `code` is the service's machine-readable code, or one of
    `ClientCode`. `detail` is a sentence for people: the cause, and a remedy where there is one. `retry_after` is in seconds.
    `own_code` of a class is the one code that it stands for; a group has none.
    """

    own_code: ClassVar[str | None] = None

    def __init_subclass__(cls, code: str | None = None) -> None:
        super().__init_subclass__()
        cls.own_code = code

    def __init__(self, status_code: int | None, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(status_code, code, detail, retry_after)
        self.status_code = status_code
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.detail


class RequestRefused(VidetteError):
    """The request cannot succeed as it is: correct it, then send it again."""


class InvalidFormat(RequestRefused, code="invalid_format"):
    """The file's content is no MP4, MOV or AVI."""


class InvalidRequest(RequestRefused, code="invalid_request"):
    """A parameter is missing, unknown or out of its range."""


class UnknownPipeline(RequestRefused, code="unknown_pipeline"):
    """The service has no pipeline of that name."""


class UploadTooLarge(RequestRefused, code="upload_too_large"):
    """The video has more bytes than the service takes."""


class UploadTimedOut(RequestRefused, code="upload_timeout"):
    """Sending took longer than the service allows."""


class NotFound(RequestRefused, code="not_found"):
    """There is no job with that id, or nothing under that path."""


class NotCompleted(RequestRefused, code="not_completed"):
    """The job has no results, because it is not completed."""


class JobOver(RequestRefused, code="job_over"):
    """The job has ended, so it cannot be cancelled any more."""


class MethodNotAllowed(RequestRefused, code="method_not_allowed"):
    """The service is of a version that does not offer this."""


class ServiceUnavailable(VidetteError):
    """No fault of the request: the same one may succeed a while later."""


class DatabaseUnavailable(ServiceUnavailable, code="database_unavailable"):
    """The service's database does not answer."""


class StoreUnavailable(ServiceUnavailable, code="store_unavailable"):
    """The service's object store does not answer."""


class TooManyUploads(ServiceUnavailable, code="too_many_uploads"):
    """The service already takes as many uploads as it can; it took nothing of this one."""


class Stopping(ServiceUnavailable, code="stopping"):
    """The process that had the request was stopped before it could answer; another one takes its place."""


class UploadAborted(ServiceUnavailable, code="upload_aborted"):
    """The service was stopped during the upload."""


class Unreachable(ServiceUnavailable, code=ClientCode.UNREACHABLE):
    """No connection could be made, so nothing was sent."""


class ConnectionLost(ServiceUnavailable, code=ClientCode.CONNECTION_LOST):
    """The connection broke before the answer was complete."""


class TimedOut(ServiceUnavailable, code=ClientCode.TIMED_OUT):
    """The service did not answer within the time limit."""


class ServiceFailed(VidetteError):
    """The service could not do what was asked, and asking again does not help."""


class InternalError(ServiceFailed, code="internal"):
    """A defect of Vidette met the request."""


class BadAnswer(ServiceFailed, code=ClientCode.BAD_ANSWER):
    """Something answered, but not as a Vidette service does."""


class BadAddress(VidetteError, code=ClientCode.BAD_ADDRESS):
    """The address names no service: no http:// or https://, or not an address at all."""


class BadFile(VidetteError, code=ClientCode.BAD_FILE):
    """The file cannot be read, or changed while it was being sent."""


class StillRunning(VidetteError, code=ClientCode.STILL_RUNNING):
    """The job did not end within the time that `wait` or `run` was given. It goes on."""


class JobFailed(VidetteError):
    """`run` found that the job `job_id` had failed; `status` and `wait` do not raise this."""

    def __init__(self, code: str, detail: str, job_id: UUID) -> None:
        super().__init__(None, code, detail)
        self.args = (code, detail, job_id)
        self.job_id = job_id


class InvalidVideo(JobFailed, code="invalid_video"):
    """No frame of the video can be decoded."""


class TooLong(JobFailed, code="too_long"):
    """The video has more frames or seconds than the service allows."""


class TooLargeFrame(JobFailed, code="too_large_frame"):
    """A frame has more pixels than the service allows."""


class PipelineUnavailable(JobFailed, code="pipeline_unavailable"):
    """A model of the pipeline is not served, or does not work."""


class FramesFailed(JobFailed, code="frames_failed"):
    """More of the frames could not be analysed than the service tolerates."""


class DeadlineExceeded(JobFailed, code="deadline_exceeded"):
    """The job ran longer than the service allows."""


class NoProgress(JobFailed, code="no_progress"):
    """The service tried again and again and got no further."""


class OutOfMemory(JobFailed, code="out_of_memory"):
    """Analysing the video takes more memory than the service allows."""


class WorkerUnavailable(JobFailed, code="worker_unavailable"):
    """The service could start no worker for the job; the detail says why."""


class Cancelled(JobFailed, code="cancelled"):
    """Somebody cancelled the job."""


class JobHitDefect(JobFailed, code="internal"):
    """A defect of Vidette met the job."""


AnyError = TypeVar("AnyError", bound=VidetteError)


def _by_code(group: type[AnyError]) -> dict[str, type[AnyError]]:
    return {kind.own_code: kind for kind in _kinds(group) if kind.own_code is not None}


def _kinds(group: type[AnyError]) -> Iterator[type[AnyError]]:
    for kind in group.__subclasses__():
        yield kind
        yield from _kinds(kind)


JOB_ERRORS: Final = _by_code(JobFailed)
"""By the codes that a failed job's status carries."""
REQUEST_ERRORS: Final[dict[str, type[VidetteError]]] = {
    **_by_code(RequestRefused),
    **_by_code(ServiceUnavailable),
    **_by_code(ServiceFailed),
}
"""By the codes that a request can end with once there is an address to ask and, to submit, a file to send."""
_OWN: Final[dict[str, type[VidetteError]]] = _by_code(VidetteError)


def own_error(code: ClientCode, detail: str, status_code: int | None = None) -> VidetteError:
    """An error that no server sent."""
    return _OWN[code](status_code, code, detail)


def refusal(status_code: int, code: str, detail: str, retry_after: float | None) -> VidetteError:
    """The error for an unsuccessful answer of the service."""
    return REQUEST_ERRORS.get(code, _group(status_code))(status_code, code, detail, retry_after)


def job_failure(code: str, detail: str, job_id: UUID) -> JobFailed:
    """The error for a failed job."""
    return JOB_ERRORS.get(code, JobFailed)(code, detail, job_id)


def _group(status_code: int) -> type[VidetteError]:
    if status_code in {429, 502, 503, 504}:
        return ServiceUnavailable
    return ServiceFailed if status_code >= 500 else RequestRefused
