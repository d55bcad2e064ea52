"""A caption that does not change, through the whole stack: every frame has its text, and hardly any was read for it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.support.stacks import completed
from vidette.client import Client
from vidette_models.demo.video import write_h264

CAPTION = "Vidette reads this once"
FRAMES = 60


def test_every_frame_of_a_still_caption_has_its_text_although_it_was_read_once_in_a_chunk(
    client: Client, tmp_path: Path
) -> None:
    picture = np.full((360, 640, 3), (30, 60, 90), np.uint8)
    cv2.putText(picture, CAPTION, (40, 190), cv2.FONT_HERSHEY_DUPLEX, 1.2, (250, 250, 250), 2, cv2.LINE_AA)
    write_h264(tmp_path / "caption.mp4", [picture] * FRAMES)
    job = client.submit(tmp_path / "caption.mp4", "ocr")
    rows = completed(client, job)
    assert [row.result.text for row in rows] == [CAPTION] * FRAMES
    summary = client.result_facts(job).summary
    assert summary["lines_read"] + summary["lines_reused"] == FRAMES
    assert summary["lines_reused"] >= 9 * summary["lines_read"]
