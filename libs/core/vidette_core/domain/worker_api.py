"""What workers and the gateway say to each other: in bodies, and of a chunk, whose bytes are the body, in the query.

Both sides import these, so that a field has one name and one meaning. Everything a worker sends is hostile until checked:
it decodes media that strangers made.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from vidette_core.domain.chunks import MAX_CHUNK_FRAMES
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.results import MAX_LINES

Samples = Annotated[int, Field(ge=0, le=2**53)]
Lines = Annotated[int, Field(ge=0, le=MAX_CHUNK_FRAMES * MAX_LINES)]
Sentence = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerExit(IntEnum):
    """Exit codes of a worker, which the launcher's policy reads."""

    DONE = 0
    FAILED = 1
    """A defect, or the gateway refused this worker: it counts against the attempt."""
    BAD_INPUT = 42
    """The job cannot succeed; it was reported. No other pod should try."""
    TRY_AGAIN = 75
    """Something the job is not to blame for is away (EX_TEMPFAIL of sysexits.h)."""
    TERMINATED = 143
    """SIGTERM, always: exit 0 would read as success (a Kubernetes node shutdown then gets no replacement)."""


class ClaimRequest(_Message):
    """`POST /v1/claim`, with the job token."""

    pod: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class SegmentClaim(_Message):
    """The pod holds a segment. Every write needs `session_token`; the lease runs out `lease_s` after its last renewal."""

    kind: Literal["segment"] = "segment"
    session_token: str
    job_id: UUID
    segment: int
    epoch: int
    next_sample: Samples
    window_end: Samples | None
    """The sample behind the segment's last one; None where only the decoder will know."""
    expected_samples: Samples | None
    """How many the plan expects of the whole video, where an index made the window: a worker that reads another one says so."""
    in_decoder_order: bool
    """A worker found that the index cannot say which frame is which: count what the decoder hands out."""
    planned: bool
    """False when nobody has posted the plan yet: read the index and do it."""
    lease_s: float
    frame_stride: int
    max_frames: int | None
    chunk_frames: int
    container: str
    pipeline: Pipeline


class ClaimBusy(_Message):
    """Others hold what is unfinished: claim again after `retry_after_s`."""

    kind: Literal["busy"] = "busy"
    retry_after_s: float


class ClaimOver(_Message):
    """Nothing is left to do: exit 0."""

    kind: Literal["over"] = "over"


class ClaimAnswer(_Message):
    answer: Annotated[SegmentClaim | ClaimBusy | ClaimOver, Field(discriminator="kind")]


class PlanRequest(_Message):
    """`POST /v1/plan`: what the container's index says."""

    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    frames: Samples
    duration_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    has_increasing_timestamps: bool
    """Whether each frame has a time of its own, so that a worker may begin in the middle."""


class PlanAnswer(_Message):
    """Where the holder's segment ends now."""

    window_end: Samples | None


class RenewRequest(_Message):
    """`POST /v1/renew`: the lease, and how many samples of the segment are analysed, committed or not."""

    samples: Samples


class ChunkMessage(_Message):
    """`POST /v1/chunks`: a chunk of samples from `first_sample` on, in the query; its compressed bytes, which `sha256` is of, are
    the body."""

    first_sample: Samples
    ok: Samples
    decode_error: Samples
    model_error: Samples
    lines_read: Lines = 0
    lines_reused: Lines = 0
    """Lines of text in the chunk that the recognition model read, and that were known from an earlier frame of it."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PresignedUrl(_Message):
    """`GET /v1/source`: an address to read the video from, which works for minutes, without other credentials."""

    url: str


class CommitAnswer(_Message):
    next_sample: Samples


class WarningMessage(_Message):
    code: Literal["truncated"]
    message: Sentence


class FinishRequest(_Message):
    """`POST /v1/finish`: the decoder reached the end, and every chunk is committed."""

    end_sample: Annotated[int, Field(ge=1)]
    warnings: Annotated[tuple[WarningMessage, ...], Field(max_length=10)] = ()


class WorkerProblem(StrEnum):
    """The reasons a worker may give for a job to fail."""

    INVALID_VIDEO = ErrorCode.INVALID_VIDEO.value
    TOO_LONG = ErrorCode.TOO_LONG.value
    TOO_LARGE_FRAME = ErrorCode.TOO_LARGE_FRAME.value
    PIPELINE_UNAVAILABLE = ErrorCode.PIPELINE_UNAVAILABLE.value


class ReportRequest(_Message):
    """`POST /v1/report`: the job cannot succeed, whoever tries. The worker then exits 42."""

    code: WorkerProblem
    message: Sentence
