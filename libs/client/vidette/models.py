"""What the service answers, as the client sees it.

The client does not share code with the service: it reads what it knows and keeps what it does not, so that an older client
goes on working with a newer service.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class JobState(StrEnum):
    """The four states of a job; the last two are final."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in {JobState.COMPLETED, JobState.FAILED}


class JobError(_Answer):
    """Why a job failed: `code` for programs, `message` for people."""

    code: str
    message: str


class JobWarning(_Answer):
    """Something about a job that its owner should know, though it did not fail: for instance a truncated video."""

    code: str
    message: str = ""


class JobStatus(_Answer):
    """Where a job stands. `progress` is a share (0 to 1), or None as long as nobody can tell. Times are UTC."""

    job_id: UUID
    status: JobState
    progress: float | None = None
    created_at: datetime
    updated_at: datetime
    error: JobError | None = None
    warnings: tuple[JobWarning, ...] = ()


class Detection(_Answer):
    """One object; `bbox` is [x, y, width, height] in pixels of the frame as displayed."""

    label: str
    class_id: int
    confidence: float
    bbox: tuple[float, float, float, float]


class TextLine(_Answer):
    """One line of text and the polygon around it, in pixels of the frame as displayed."""

    text: str
    confidence: float
    polygon: tuple[tuple[float, float], ...]


class FrameResult(_Answer):
    """What was found in one frame; `error` says why a frame could not be analysed."""

    detections: tuple[Detection, ...] = ()
    text: str = ""
    timestamp_ms: float | None = None
    lines: tuple[TextLine, ...] = ()
    error: str | None = None


class FrameRow(_Answer):
    """One analysed frame; `frame_index` counts the frames of the whole video in presentation order, from 0."""

    frame_index: int
    result: FrameResult


class Differing(_Answer):
    """A frame that came out otherwise than it is stored."""

    frame_index: int
    stored: FrameResult
    found: FrameResult


class Verification(_Answer):
    """What came of some frames of a completed job that were decoded and analysed once more.

    `identical` frames have the same row, `close` ones differ in their numbers only, by no more than 0.001. `differences` are the
    first of the `different` ones.
    """

    job_id: UUID
    verifies: UUID
    frames: int
    identical: int
    close: int
    different: int
    differences: tuple[Differing, ...] = ()

    @property
    def holds(self) -> bool:
        return self.frames > 0 and self.different == 0


class ModelRef(_Answer):
    """One version of one model, and the digest of its file."""

    name: str
    version: int
    digest: str


class ResultFacts(_Answer):
    """What is known of a job's results as a whole: which models made them, and how its frames ended (frames by outcome)."""

    job_id: UUID
    created_at: datetime
    updated_at: datetime
    models: tuple[ModelRef, ...] = ()
    summary: dict[str, int] = Field(default_factory=dict)


class DetectorFacts(_Answer):
    """What finds objects: its model, the labels it knows, and from which score on it counts."""

    model: ModelRef
    family: str = ""
    labels: tuple[str, ...] = ()
    score_threshold: float | None = None
    iou_threshold: float | None = None


class TextFacts(_Answer):
    """What reads text: the model that finds lines and the one that reads them."""

    detection: ModelRef
    recognition: ModelRef


class Pipeline(_Answer):
    """What a `pipeline_id` stands for now; a job keeps what it was submitted with."""

    id: str
    description: str = ""
    detector: DetectorFacts | None = None
    text: TextFacts | None = None
