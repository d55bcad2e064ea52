"""Our wrapped PP-OCR models in Triton against the very sessions and the preparation of plain `rapidocr`."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rapidocr import RapidOCR

from tests.support.triton import TritonServer
from vidette_core.adapters.triton import TritonInference
from vidette_models.repository import Repository
from vidette_models.text_graphs import PADDING, STRIP_HEIGHT

Picture = NDArray[np.uint8]
WORDS = ("Platform 9", "Queue: 14 min.", "ABC-1234", "EXIT to Gate B12, level 3")


@pytest.fixture(scope="module")
def plain() -> Any:
    engine = RapidOCR()
    engine(written("Hello", 1))  # it loads its models when it first needs them
    return engine


def written(text: str, seed: int) -> Picture:
    """A BGR strip with text on a coloured, noisy ground."""
    rng = np.random.default_rng(seed)
    height, scale = int(rng.integers(28, 60)), 1.0
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    strip = np.full((height, width + 12, 3), rng.integers(120, 256, 3), np.uint8)
    cv2.putText(strip, text, (6, height - 8), cv2.FONT_HERSHEY_SIMPLEX, scale, rng.integers(0, 90, 3).tolist(), 2)
    noisy: Picture = np.clip(strip + rng.normal(0, 6, strip.shape), 0, 255).astype(np.uint8)
    return noisy


def test_recognition_gives_the_ids_and_probabilities_of_plain_rapidocr(
    triton: TritonInference, triton_server: TritonServer, plain: Any
) -> None:
    strips = [written(text, seed) for seed, text in enumerate(WORDS)]
    ratio = max(strip.shape[1] / strip.shape[0] for strip in strips)
    prepared = np.stack([plain.text_rec.resize_norm_img(strip, ratio) for strip in strips])
    expected = plain.text_rec.session(prepared)

    images = np.full((len(strips), STRIP_HEIGHT, int(STRIP_HEIGHT * ratio), 3), PADDING, np.uint8)
    for image, strip in zip(images, strips, strict=True):
        width = min(image.shape[1], math.ceil(STRIP_HEIGHT * strip.shape[1] / strip.shape[0]))
        image[:, :width] = cv2.resize(strip, (width, STRIP_HEIGHT))[..., ::-1]
    result = triton.infer(triton_server.model("ppocr-rec"), {"images": images}, ["ids", "probs"])

    np.testing.assert_array_equal(result["ids"], expected.argmax(axis=2))
    np.testing.assert_allclose(result["probs"], expected.max(axis=2), atol=1e-4)
    assert result["ids"].any(), "something was read"


def test_the_alphabet_decodes_what_plain_rapidocr_reads(triton_server: TritonServer, plain: Any) -> None:
    catalog = Repository(triton_server.repository).catalog()
    assert catalog is not None
    reader = catalog.pipelines[0].text
    assert reader is not None
    assert list(reader.alphabet) == plain.text_rec.postprocess_op.character[1:]


def test_detection_gives_the_probabilities_of_plain_rapidocr(
    triton: TritonInference, triton_server: TritonServer, plain: Any
) -> None:
    frame = np.full((320, 480, 3), (200, 150, 90), np.uint8)
    for index, text in enumerate(WORDS[:3]):
        cv2.putText(frame, text, (30, 70 + 90 * index), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (20, 20, 40), 2)
    expected = plain.text_det.session(plain.text_det.get_preprocess()(frame))
    resized = plain.text_det.get_preprocess().resize(frame)

    images = np.ascontiguousarray(resized[None, ..., ::-1])
    prob = triton.infer(triton_server.model("ppocr-det"), {"images": images}, ["prob"])["prob"]

    assert prob.shape == expected.shape
    np.testing.assert_allclose(prob / 255, expected, atol=0.5 / 255 + 1e-4)
    decided = np.abs(expected - 0.3) > 1e-4
    np.testing.assert_array_equal((prob > 76)[decided], (expected > 0.3)[decided])
    assert (prob > 76).any(), "some text was found"
