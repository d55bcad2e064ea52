"""What a reader of frames asks of the models' server, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from vidette_core.domain.pipelines import ModelRef, TextReader
from vidette_core.domain.results import MAX_LINES, MAX_TEXT, TextLine
from vidette_core.ports.errors import PortError, Rejected, Unavailable
from vidette_core.ports.inference import Tensor
from vidette_frame_worker.ocr import TextRecogniser, join_lines

DIGEST = "sha256:" + "0" * 64
DETECTION = ModelRef(name="detection", version=1, digest=DIGEST)
RECOGNITION = ModelRef(name="recognition", version=1, digest=DIGEST)
READER = TextReader(detection=DETECTION, recognition=RECOGNITION, alphabet=("a", "b", " "))


class Brightness:
    """Takes what is bright for text, reads "ab" in every strip, and counts; it can be away or refuse by model."""

    def __init__(
        self, trouble: Mapping[str, PortError] | None = None, ids: Sequence[int] = (1, 2), prob: float = 0.9
    ) -> None:
        self.trouble, self.ids, self.prob = dict(trouble or {}), ids, prob
        self.requests: list[tuple[str, tuple[int, ...]]] = []

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        if model.name in self.trouble:
            raise self.trouble[model.name]
        images = inputs["images"]
        self.requests.append((model.name, images.shape))
        if model == DETECTION:
            return {"prob": images[..., 0][:, None]}
        rows = len(images)
        answers = {
            "ids": np.tile(np.array(self.ids, np.int32), (rows, 1)),
            "probs": np.full((rows, len(self.ids)), self.prob, np.float32),
        }
        return {name: answers[name] for name in outputs}

    def is_ready(self, model: ModelRef) -> bool:
        return model.name not in self.trouble


def bars(*tops: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = np.zeros((736, 736, 3), np.uint8)
    for top in tops:
        image[top : top + 20, 100:300] = 255
    return image


def line(text: str) -> TextLine:
    return TextLine(text=text, confidence=0.9, polygon=((0, 0), (1, 0), (1, 1), (0, 1)))


def test_each_bar_becomes_a_line_with_a_polygon_around_it_from_top_to_bottom() -> None:
    upper, lower = TextRecogniser(READER, Brightness()).read(bars(400, 100))
    assert (upper.text, lower.text) == ("ab", "ab")
    assert 80 < upper.polygon[0][1] < 100 < 120 < upper.polygon[2][1] < 140
    assert lower.polygon[0][1] > 380


def test_a_frame_without_text_asks_for_no_recognition() -> None:
    server = Brightness()
    assert TextRecogniser(READER, server).read(bars()) == ()
    assert [name for name, _ in server.requests] == ["detection"]


@pytest.mark.parametrize("model", ["detection", "recognition"])
@pytest.mark.parametrize("trouble", [Unavailable("away"), Rejected("not so")])
def test_trouble_at_the_server_passes_through_unchanged(model: str, trouble: PortError) -> None:
    with pytest.raises(type(trouble)) as caught:
        TextRecogniser(READER, Brightness({model: trouble})).read(bars(100))
    assert caught.value is trouble


@pytest.mark.parametrize(("ids", "prob"), [((1, 2), 0.49), ((0, 0), 0.9), ((3, 3), 0.9), ((1, 2), float("nan"))])
def test_what_is_unsure_empty_blank_or_not_a_number_is_no_line(ids: tuple[int, ...], prob: float) -> None:
    assert TextRecogniser(READER, Brightness(ids=ids, prob=prob)).read(bars(100)) == ()


def test_a_hostile_picture_of_specks_costs_a_bounded_number_of_bounded_requests() -> None:
    image = np.zeros((1500, 1500, 3), np.uint8)
    image[np.ix_(np.arange(1500) % 12 < 8, np.arange(1500) % 12 < 8)] = 255
    server = Brightness()
    assert 0 < len(TextRecogniser(READER, server).read(image)) <= MAX_LINES
    shapes = [shape for name, shape in server.requests if name == "recognition"]
    assert sum(shape[0] for shape in shapes) <= MAX_LINES
    assert max(shape[0] for shape in shapes) <= 6


def test_lines_are_joined_by_line_feeds_in_their_order() -> None:
    assert join_lines([line("one"), line("two")]) == "one\ntwo"
    assert join_lines([]) == ""


def test_joined_text_beyond_the_limit_ends_with_a_whole_line() -> None:
    text = join_lines([line("x" * 60_000), line("y" * 39_999), line("z")])
    assert text == "x" * 60_000 + "\n" + "y" * 39_999
    assert len(text) == MAX_TEXT
