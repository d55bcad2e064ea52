"""Our text reading against plain `rapidocr` on rendered upright frames: how many differ, and how many of rapidocr's own
readings its direction classifier changes. That is why we leave the classifier out.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidocr import RapidOCR
from rapidocr.utils.output import RapidOCROutput

from vidette_core.domain.pipelines import TextReader
from vidette_core.testing.onnx_inference import OnnxInference
from vidette_frame_worker.ocr import TextRecogniser
from vidette_models.repository import Repository
from vidette_models.served import ServedModel
from vidette_models.text_graphs import compose_text, find_sources

Image = NDArray[np.uint8]
WORDS = """
the quick brown fox jumps over lazy dog frame video results 2024 12:45 speed limit station platform total EUR 19.99
open daily welcome Exit GATE B12 breaking news storm reaches coast camera 07 north entrance mind gap No. 4711
chapter one Figure 3 left right (c) 100% e-mail info@example.org C++ don't stop
""".split()  # noqa: SIM905 - a list of fifty strings would hide the words
SIZES = [(640, 360), (640, 480), (1280, 720), (854, 480), (320, 240), (360, 640)]
FONTS = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX]


def frames(count: int) -> Iterator[Image]:
    """Upright captions of various sizes, colours and grounds, BGR; always the same ones."""
    dice = random.Random(7)
    for _ in range(count):
        width, height = dice.choice(SIZES)
        light = dice.random() < 0.5
        image = np.full((height, width, 3), dice.randint(180, 255) if light else dice.randint(0, 80), np.uint8)
        y = 10
        while y < height * 0.85:
            size = dice.uniform(0.5, 1.3) * height / 480
            text = " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, 6)))
            y += int(dice.uniform(34, 70) * height / 480)
            ink = (20, 20, 20) if light else (240, 240, 240)
            place = (dice.randint(5, width // 8), y)
            cv2.putText(image, text, place, dice.choice(FONTS), size, ink, max(1, round(size * 1.5)), cv2.LINE_AA)
        yield image


def recogniser(folder: Path) -> TextRecogniser:
    repository, graphs = Repository(folder), compose_text(find_sources())
    with repository.locked():
        reader = TextReader(
            detection=repository.add(ServedModel("det", graphs.detection, 1, (320, 320))),
            recognition=repository.add(ServedModel("rec", graphs.recognition, 8, (320,))),
            alphabet=graphs.alphabet,
        )
    return TextRecogniser(reader, OnnxInference(folder))


def texts_of(library: RapidOCR, image: Image, *, use_cls: bool) -> list[str]:
    found = library(image, use_cls=use_cls)
    assert isinstance(found, RapidOCROutput)
    return list(found.txts or ())


def main(count: int) -> None:
    library = RapidOCR(params={"Global.log_level": "error"})
    differ = turned = lines = 0
    with tempfile.TemporaryDirectory() as folder:
        reader = recogniser(Path(folder))
        for image in frames(count):
            read = [line.text for line in reader.read(np.ascontiguousarray(image[..., ::-1]))]
            plain = texts_of(library, image, use_cls=False)
            lines += len(plain)
            differ += read != plain
            turned += texts_of(library, image, use_cls=True) != plain
    print(f"{count} frames, {lines} lines: ours differ from rapidocr without its classifier on {differ} frames;")
    print(f"the classifier changes rapidocr's own reading on {turned}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
