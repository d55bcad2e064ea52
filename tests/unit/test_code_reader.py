"""The detector that the end-to-end tests believe: every number it can meet, and none where there is none."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from tests.support.clips import HEIGHT, WIDTH, draw_code
from tests.support.code_reader import NUMBERS, code_reader
from vidette_core.domain.pipelines import Letterbox
from vidette_frame_worker.letterbox import letterbox


def test_it_reads_every_number_and_refuses_a_picture_without_one() -> None:
    session = ort.InferenceSession(code_reader(), providers=["CPUExecutionProvider"])
    numbers = [*range(0, NUMBERS, 37), NUMBERS - 1]
    pictures = [draw_code(number) for number in numbers] + [np.full((HEIGHT, WIDTH, 3), 128, np.uint8)]
    frames = np.stack([letterbox(picture, 320, Letterbox.CENTRE)[0] for picture in pictures])
    boxes, scores, classes = session.run(["boxes", "scores", "classes"], {"frames": frames})
    assert classes[:-1, 0].tolist() == numbers
    assert scores[:-1, 0].tolist() == [1.0] * len(numbers)
    assert scores[-1, 0] == 0
    assert boxes.shape == (len(pictures), 1, 4)
