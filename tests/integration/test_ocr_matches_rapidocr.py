"""The text of a frame is the text that plain `rapidocr` reads, although our models take bytes and answer classes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR
from rapidocr.ch_ppocr_det.main import TextDetector
from rapidocr.ch_ppocr_det.utils import DBPostProcess

from vidette_core.domain.pipelines import ModelRef, TextReader
from vidette_core.testing.onnx_inference import OnnxInference
from vidette_frame_worker.ocr import TextRecogniser
from vidette_frame_worker.ocr.boxes import find_boxes
from vidette_models.text_graphs import compose_text, find_sources

Picture = NDArray[np.uint8]
WHITE, YELLOW, BLUE, BLACK = (255, 255, 255), (255, 230, 60), (90, 160, 255), (0, 0, 0)
REAL_PAGE = Path(__file__).parents[3] / "shared" / "data" / "text-en.jpg"


def scenery(width: int, height: int, seed: int) -> Picture:
    """Soft coloured blotches with grain, dark enough for light captions."""
    dice = np.random.default_rng(seed)
    blotches = cv2.resize(
        dice.integers(0, 130, (6, 8, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(blotches + dice.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def caption(
    image: Picture,
    text: str,
    at: tuple[int, int],
    size: float,
    colour: tuple[int, int, int] = WHITE,
    outline: bool = False,
) -> Picture:
    weight = max(1, round(size * 1.6))
    if outline:
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, BLACK, weight * 3, cv2.LINE_AA)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, weight, cv2.LINE_AA)
    return image


def two_captions() -> Picture:
    image = caption(scenery(640, 360, 1), "CAMERA 07 NORTH GATE", (20, 40), 0.8)
    return caption(image, "please mind the gap", (150, 335), 1.0, YELLOW, outline=True)


def small_caption() -> Picture:
    return caption(scenery(640, 480, 2), "measured values 2024-05-17 12:45", (30, 450), 0.5)


def large_caption() -> Picture:
    return caption(scenery(800, 450, 3), "BREAKING NEWS", (60, 250), 2.6, outline=True)


def coloured_captions() -> Picture:
    image = caption(scenery(640, 360, 4), "storm reaches the coast", (30, 120), 1.0, (255, 60, 60))
    return caption(image, "total price 19.99 EUR", (30, 220), 1.0, BLUE)


def two_columns() -> Picture:
    image = np.full((480, 640, 3), 245, np.uint8)
    rows = [("left column", "right column"), ("London", "Berlin"), ("station", "platform 3"), ("departure", "arrival")]
    for number, (left, right) in enumerate(rows):
        caption(image, left, (30, 80 + 90 * number), 0.9, BLACK)
        caption(image, right, (350, 80 + 90 * number), 0.9, BLACK)
    return image


def slightly_turned() -> Picture:
    image = caption(scenery(720, 480, 5), "the quick brown fox", (120, 200), 1.3)
    caption(image, "jumps over the lazy dog", (100, 300), 1.2, YELLOW)
    turn = cv2.getRotationMatrix2D((360, 240), 6, 1)
    return np.asarray(cv2.warpAffine(image, turn, (720, 480), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def upright_video() -> Picture:
    image = caption(scenery(360, 640, 6), "portrait video", (40, 100), 1.1, outline=True)
    return caption(image, "open daily 9-17", (40, 560), 0.9, YELLOW)


def wide_strip() -> Picture:
    return caption(scenery(1200, 120, 7), "a ticker that runs along the lower edge of the picture", (20, 75), 1.2)


def tall_sign() -> Picture:
    image = np.full((600, 500, 3), (20, 40, 60), np.uint8)
    sign = caption(np.full((60, 420, 3), (20, 40, 60), np.uint8), "turned by a quarter", (10, 42), 1.2)
    image[80:500, 60:120] = np.rot90(sign, 3)
    return caption(image, "upright", (220, 300), 1.5)


def low_picture() -> Picture:
    return caption(np.full((28, 320, 3), 30, np.uint8), "low picture", (10, 21), 0.7)


def larger_than_the_limit() -> Picture:
    image = caption(scenery(2400, 700, 8), "wider than two thousand pixels", (200, 300), 3)
    return caption(image, "a second line of text", (300, 520), 3, YELLOW)


def nothing_to_read() -> Picture:
    return scenery(640, 480, 9)


def page_of(lines: int) -> Picture:
    image = Image.new("RGB", (800, 60 + 40 * lines), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(24)
    text = "number total price open daily welcome exit gate storm reaches coast hello camera north entrance"
    words = text.split()
    for number in range(lines):
        line = " ".join(words[(number * 5 + word) % len(words)] for word in range(1 + number % 7))
        pen.text((30, 30 + 40 * number), line, fill="black", font=font)
    return np.asarray(image)


FRAMES: tuple[Callable[[], Picture], ...] = (
    two_captions,
    small_caption,
    large_caption,
    coloured_captions,
    two_columns,
    slightly_turned,
    upright_video,
    wide_strip,
    tall_sign,
    low_picture,
    larger_than_the_limit,
    nothing_to_read,
)


@pytest.fixture(scope="module")
def library() -> RapidOCR:
    return RapidOCR(params={"Global.log_level": "error"})


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> TextRecogniser:
    repository = tmp_path_factory.mktemp("models")
    graphs = compose_text(find_sources())
    reader = TextReader(
        detection=serve(repository, "text-detection", graphs.detection),
        recognition=serve(repository, "text-recognition", graphs.recognition),
        alphabet=graphs.alphabet,
    )
    return TextRecogniser(reader, OnnxInference(repository))


def serve(repository: Path, name: str, model: bytes) -> ModelRef:
    path = repository / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model)
    return ModelRef(name=name, version=1, digest="sha256:" + "0" * 64)


def read_by_library(library: RapidOCR, image: Picture, **options: bool) -> Any:
    """rapidocr takes arrays for BGR."""
    return library(np.ascontiguousarray(image[:, :, ::-1]), **options)


@pytest.mark.parametrize("draw", FRAMES, ids=lambda draw: draw.__name__)
def test_lines_order_and_polygons_of_a_rendered_frame_are_rapidocrs(
    draw: Callable[[], Picture], library: RapidOCR, recogniser: TextRecogniser
) -> None:
    image = draw()
    expected = read_by_library(library, image)
    lines = recogniser.read(image)
    assert tuple(line.text for line in lines) == tuple(expected.txts or ())
    if lines:
        assert np.array([line.polygon for line in lines]) == pytest.approx(np.array(expected.boxes), abs=0.01)
        assert [line.confidence for line in lines] == pytest.approx(expected.scores, abs=1e-3)


def test_lines_of_a_page_are_rapidocrs_although_short_ones_are_padded_to_long_ones(
    library: RapidOCR, recogniser: TextRecogniser
) -> None:
    image = cv2.imread(str(REAL_PAGE))
    page = page_of(7) if image is None else np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8)
    expected = read_by_library(library, page)
    assert len(expected.txts) >= 5
    assert tuple(line.text for line in recogniser.read(page)) == tuple(expected.txts)


def test_a_dense_page_reads_as_in_rapidocr_without_its_direction_classifier(
    library: RapidOCR, recogniser: TextRecogniser
) -> None:
    page = page_of(20)
    expected = read_by_library(library, page, use_cls=False)
    library.use_cls = True
    assert len(expected.txts) >= 19
    assert tuple(line.text for line in recogniser.read(page)) == tuple(expected.txts)


def test_a_frame_reads_the_same_whatever_was_read_before(recogniser: TextRecogniser) -> None:
    alone = recogniser.read(two_columns())
    recogniser.read(two_captions())
    assert recogniser.read(two_columns()) == alone


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), blobs=st.integers(0, 30), width=st.integers(3, 60), height=st.integers(3, 60))
def test_boxes_of_any_probability_map_are_rapidocrs(seed: int, blobs: int, width: int, height: int) -> None:
    dice = np.random.default_rng(seed)
    probability = dice.integers(0, 60, (160, 320)).astype(np.uint8)
    for _ in range(blobs):
        centre = tuple(int(value) for value in dice.integers((0, 0), (320, 160)))
        axes = tuple(int(value) for value in dice.integers((1, 1), (width, height)))
        cv2.ellipse(probability, (centre, axes, float(dice.uniform(0, 180))), int(dice.integers(60, 256)), -1)
    reference = DBPostProcess(thresh=0.3, box_thresh=0.5, unclip_ratio=1.6, use_dilation=True)
    boxes, _ = reference(probability[None, None].astype(np.float32) / 255, (237, 511))
    expected = TextDetector.sorted_boxes(boxes)
    assert find_boxes(probability, 511, 237) == pytest.approx(np.reshape(expected, (-1, 4, 2)))


def test_reading_text_loads_neither_onnxruntime_nor_rapidocr() -> None:
    code = "import sys, vidette_frame_worker.ocr; print([m for m in ('onnxruntime', 'rapidocr', 'shapely') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
