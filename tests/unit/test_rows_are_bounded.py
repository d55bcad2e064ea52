"""No row of a worker is longer than readers accept, whatever the picture was full of."""

from __future__ import annotations

import pytest

from vidette_core.domain.results import (
    MAX_DETECTIONS,
    MAX_LINES,
    MAX_ROW_BYTES,
    Detection,
    FrameResult,
    FrameRow,
    TextLine,
    bounded,
)


def crowded(lines: int, text: str, label: str = "traffic light") -> FrameRow:
    corners = ((1000.25, 1000.25), (2000.25, 1000.25), (2000.25, 1100.25), (1000.25, 1100.25))
    box = (1000.25, 1000.25, 200.5, 200.5)
    line = TextLine(text=text, confidence=0.99999, polygon=corners)
    found = tuple(
        Detection(label=label, class_id=9, confidence=round(1 - place / MAX_DETECTIONS, 3), bbox=box)
        for place in range(MAX_DETECTIONS)
    )
    joined = "\n".join([text] * lines)[:100_000]
    return FrameRow(
        frame_index=10**7,
        result=FrameResult(detections=found, lines=(line,) * lines, text=joined),
    )


def test_a_full_page_is_left_as_it_is() -> None:
    row = crowded(300, "an ordinary line of text in a book, with some words")
    assert bounded(row) is row


def test_more_than_fits_is_cut_to_whole_lines_and_the_objects_stay() -> None:
    row = bounded(crowded(MAX_LINES, "字" * 600))
    assert len(row.model_dump_json().encode()) <= MAX_ROW_BYTES
    assert row.result.text == "\n".join(line.text for line in row.result.lines)
    assert 0 < len(row.result.lines) < MAX_LINES
    assert len(row.result.detections) == MAX_DETECTIONS


@pytest.mark.timeout(20)
@pytest.mark.parametrize("lines", [0, 100])
def test_objects_that_are_too_much_by_themselves_are_cut_too_and_the_best_stay(lines: int) -> None:
    whole = crowded(lines, "words", label="字" * 150)
    row = bounded(whole)
    assert len(row.model_dump_json().encode()) <= MAX_ROW_BYTES
    assert row.result.text == ""
    assert 0 < len(row.result.detections) < MAX_DETECTIONS
    assert row.result.detections == whole.result.detections[: len(row.result.detections)]
