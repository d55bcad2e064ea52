"""The result of one frame: the schema that workers write, chunks carry and clients read.

One definition serves all three, so that a row which a hostile worker wrote is refused by the same rules that the OpenAPI
document publishes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Finite, Finite]

MAX_DETECTIONS = 1000
MAX_LINES = 1000
MAX_TEXT = 100_000
MAX_ROW_BYTES = 384 * 1024
"""One row as JSON: a page of a thousand lines has 200 KB. Workers leave out what is beyond it, and so bound chunks."""


class FrameError(StrEnum):
    """Why a frame could not be analysed. The frame still counts, and indices never shift."""

    DECODE_ERROR = "decode_error"
    MODEL_ERROR = "model_error"


class _Row(BaseModel):
    # What has a default is written all the same, so a reader of the published schema may count on it.
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Detection(_Row):
    """One object. `bbox` is [x, y, width, height] in pixels of the frame as displayed (rotation and mirroring applied)."""

    label: Annotated[str, Field(max_length=200)]
    class_id: Annotated[int, Field(ge=0)]
    confidence: Score
    bbox: tuple[Finite, Finite, Finite, Finite]


class TextLine(_Row):
    """One line of text; `polygon` has four points in pixels of the frame as displayed, clockwise from the top left."""

    text: Annotated[str, Field(max_length=MAX_TEXT)]
    confidence: Score
    polygon: tuple[Point, Point, Point, Point]


class FrameResult(_Row):
    """What was found in one frame. `text` is the lines in reading order, joined by line feeds."""

    detections: Annotated[tuple[Detection, ...], Field(max_length=MAX_DETECTIONS)] = ()
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    timestamp_ms: Finite | None = None
    lines: Annotated[tuple[TextLine, ...], Field(max_length=MAX_LINES)] = ()
    error: FrameError | None = Field(default=None, exclude_if=lambda value: value is None)


class FrameRow(_Row):
    """One line of a chunk and one element of `results`."""

    frame_index: Annotated[int, Field(ge=0)]
    result: FrameResult


def bounded(row: FrameRow) -> FrameRow:
    """The row, shortened where it would be longer than MAX_ROW_BYTES as JSON.

    The last lines of its text go first; where objects alone are too much, the last of them, which are the least confident.
    """
    while len(row.model_dump_json().encode()) > MAX_ROW_BYTES:
        row = row.model_copy(update={"result": _shortened(row.result)})
    return row


def _shortened(result: FrameResult) -> FrameResult:
    if not result.text and not result.lines:
        return result.model_copy(update={"detections": result.detections[: len(result.detections) * 7 // 8]})
    lines = result.lines[: len(result.lines) // 2]
    return result.model_copy(update={"lines": lines, "text": "\n".join(line.text for line in lines)})
