"""The bodies of the answers, and how the OpenAPI document declares answers and errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from vidette_api.http_errors import ERROR_HEADER, STATUS
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.jobs import JobState
from vidette_core.domain.pipelines import ModelRef, Origin
from vidette_core.domain.results import FrameResult, FrameRow


def utc(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Moment = Annotated[
    datetime, PlainSerializer(utc, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
PUBLIC_STATES = [state.value for state in JobState if state is not JobState.UPLOADING]
PublicState = Annotated[JobState, WithJsonSchema({"type": "string", "enum": PUBLIC_STATES})]


def _is_empty(value: object) -> bool:
    return not value


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ErrorAnswer(_Answer):
    """Every error: one sentence for people. The code for programs is in the header `Vidette-Error`."""

    detail: str


class Submitted(_Answer):
    job_id: UUID


class JobError(_Answer):
    """Why a job failed: a code for programs, and a sentence with the remedy where there is one."""

    code: ErrorCode
    message: str


class JobWarningAnswer(_Answer):
    """Something to know about a job that did not fail, e.g. `truncated`."""

    code: str
    message: str


class JobStatus(_Answer):
    """`error` is there when the job failed, `warnings` when there are some. `progress` is null until it is known."""

    job_id: UUID
    status: PublicState
    progress: Annotated[float, Field(ge=0, le=1)] | None
    created_at: Moment
    updated_at: Moment
    error: JobError | None = Field(default=None, exclude_if=_is_empty)
    warnings: tuple[JobWarningAnswer, ...] = Field(default=(), exclude_if=_is_empty)


class Summary(_Answer):
    """How the frames of the whole job ended, whatever page this is.

    `lines_read` lines of text were read by the model; `lines_reused` were known from a frame before, their pixels unchanged.
    """

    frames: int
    ok: int
    decode_error: int
    model_error: int
    lines_read: int
    lines_reused: int


class JobResults(_Answer):
    """One element for each sampled frame, in frame order. `models` are those that the job pinned when it was submitted."""

    job_id: UUID
    results: list[FrameRow]
    created_at: Moment
    updated_at: Moment
    models: tuple[ModelRef, ...]
    summary: Summary


class Differing(_Answer):
    """A frame that came out otherwise than it is stored."""

    frame_index: int
    stored: FrameResult
    found: FrameResult


class Verification(_Answer):
    """`verifies` is the job whose frames were analysed once more.

    `identical` frames have the same row, byte for byte. `close` ones differ in their numbers only, by no more than 0.001,
    absolutely or relatively: a model's sums depend on what else is in its batch. `differences` are the first 20 of the
    `different` ones.
    """

    job_id: UUID
    verifies: UUID
    frames: int
    identical: int
    close: int
    different: int
    differences: tuple[Differing, ...]


class DetectorAnswer(_Answer):
    """`labels` are those that results may hold, `size` is the side in pixels of the square that the model looks at."""

    model: ModelRef
    family: str
    size: int
    labels: tuple[str, ...]
    score_threshold: float
    iou_threshold: float


class TextAnswer(_Answer):
    """Lines whose confidence is below `text_threshold` are left out."""

    detection: ModelRef
    recognition: ModelRef
    text_threshold: float


class PipelineAnswer(_Answer):
    """What a `pipeline_id` stands for now; a job keeps what it was submitted with.

    `origin`: `builtin`, `model` (added with a model) or `file` (declared in a pipelines file).
    """

    id: str
    description: str
    origin: Origin
    detector: DetectorAnswer | None
    text: TextAnswer | None


class PipelineList(_Answer):
    pipelines: tuple[PipelineAnswer, ...]


_FOR_WORKERS = {ErrorCode.UNAUTHORIZED, ErrorCode.FENCED, ErrorCode.CONFLICT}
"""Codes that only the gateway answers with."""
_HEADERS = {
    ERROR_HEADER: ("The error's code.", {"type": "string"}),
    "Retry-After": ("Seconds after which to try again.", {"type": "integer"}),
    "Location": ("Where the job's status is.", {"type": "string", "format": "uri-reference"}),
    "Link": ('The next page (RFC 8288, `rel="next"`); absent on the last.', {"type": "string"}),
}
_MEANINGS = {
    400: "The request is wrong; `detail` says how, and what is allowed.",
    404: "There is no such job, or it has no results (yet).",
    408: "The upload took too long.",
    409: "The job has ended already.",
    413: "The video is larger than this installation takes.",
    500: "A defect of Vidette.",
    503: "Something is away or at its limit. Nothing was lost; try again.",
}


def declared(status: int, description: str, *headers: str) -> dict[int | str, dict[str, Any]]:
    """An answer with headers, for a route's `responses`."""
    described = {name: {"description": _HEADERS[name][0], "schema": _HEADERS[name][1]} for name in headers}
    return {status: {"description": description, "headers": described}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for its `responses`."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        headers = (ERROR_HEADER, "Retry-After") if status == 503 else (ERROR_HEADER,)
        answer = declared(status, _MEANINGS[status], *headers)[status]
        answer["headers"][ERROR_HEADER]["schema"] = {"type": "string", "enum": _codes(status)}
        answers[status] = {**answer, "model": ErrorAnswer}
    return answers


def _codes(status: int) -> list[str]:
    """What `Vidette-Error` may be beside a status."""
    return [code.value for code, answered in STATUS.items() if answered == status and code not in _FOR_WORKERS]
