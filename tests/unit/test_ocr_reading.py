"""What a reader of frames asks of the models' server, and what it makes of the answers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.made_up_models import READER, MadeUpModels, bars
from vidette_core.domain.results import MAX_LINES, MAX_TEXT, TextLine
from vidette_core.ports.errors import PortError, Rejected, Unavailable
from vidette_frame_worker.ocr import TextRecogniser, join_lines


def line(text: str) -> TextLine:
    return TextLine(text=text, confidence=0.9, polygon=((0, 0), (1, 0), (1, 1), (0, 1)))


def test_each_bar_becomes_a_line_with_a_polygon_around_it_from_top_to_bottom() -> None:
    upper, lower = TextRecogniser(READER, MadeUpModels()).read(bars(400, 100))
    assert (upper.text, lower.text) == ("ab", "ab")
    assert 80 < upper.polygon[0][1] < 100 < 120 < upper.polygon[2][1] < 140
    assert lower.polygon[0][1] > 380


def test_a_frame_without_text_asks_for_no_recognition() -> None:
    server = MadeUpModels()
    assert TextRecogniser(READER, server).read(bars()) == ()
    assert [name for name, _ in server.requests] == ["detection"]


@pytest.mark.parametrize("model", ["detection", "recognition"])
@pytest.mark.parametrize("trouble", [Unavailable("away"), Rejected("not so")])
def test_trouble_at_the_server_passes_through_unchanged(model: str, trouble: PortError) -> None:
    with pytest.raises(type(trouble)) as caught:
        TextRecogniser(READER, MadeUpModels({model: trouble})).read(bars(100))
    assert caught.value is trouble


@pytest.mark.parametrize(("ids", "prob"), [((1, 2), 0.49), ((0, 0), 0.9), ((3, 3), 0.9)])
def test_what_is_unsure_empty_or_blank_is_no_line(ids: tuple[int, ...], prob: float) -> None:
    assert TextRecogniser(READER, MadeUpModels(ids=ids, prob=prob)).read(bars(100)) == ()


@pytest.mark.parametrize("wrong", [4, -1])
def test_a_class_without_a_letter_is_a_refusal(wrong: int) -> None:
    with pytest.raises(Rejected, match="alphabet"):
        TextRecogniser(READER, MadeUpModels(ids=(1, wrong))).read(bars(100))


@pytest.mark.parametrize("model", ["detection", "recognition"])
def test_proving_asks_both_models_though_there_is_nothing_to_read(model: str) -> None:
    TextRecogniser(READER, MadeUpModels()).prove(bars())
    refusal = Rejected("not so")
    with pytest.raises(Rejected) as caught:
        TextRecogniser(READER, MadeUpModels({model: refusal})).prove(bars())
    assert caught.value is refusal


def test_a_hostile_picture_of_specks_costs_a_bounded_number_of_bounded_requests() -> None:
    image = np.zeros((1500, 1500, 3), np.uint8)
    image[np.ix_(np.arange(1500) % 12 < 8, np.arange(1500) % 12 < 8)] = 255
    server = MadeUpModels()
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
