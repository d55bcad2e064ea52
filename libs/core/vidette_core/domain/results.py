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
"""One row as JSON: a page of a thousand lines has 200 KB. Workers leave out lines beyond it, and so bound their chunks."""


class FrameError(StrEnum):
    """Why a frame could not be analysed. The frame still counts, and indices never shift."""

    DECODE_ERROR = "decode_error"
    MODEL_ERROR = "model_error"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    """The row, without the last lines of its text where it would be longer than MAX_ROW_BYTES as JSON."""
    while len(row.model_dump_json().encode()) > MAX_ROW_BYTES:
        lines = row.result.lines[: len(row.result.lines) // 2]
        text = "\n".join(line.text for line in lines)
        row = row.model_copy(update={"result": row.result.model_copy(update={"lines": lines, "text": text})})
    return row
