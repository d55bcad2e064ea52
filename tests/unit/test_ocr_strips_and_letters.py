"""How boxes become requests, and how the recogniser's answer becomes letters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidette_frame_worker.ocr.ctc import decode
from vidette_frame_worker.ocr.strips import GROUP, HEIGHT, PADDING, WIDEST, Request, pack, plan

sizes = st.lists(st.tuples(st.integers(4, 2000), st.integers(4, 2000)), max_size=40)


def boxes_of(*sizes: tuple[int, int]) -> NDArray[np.float32]:
    return np.array([[[0, 0], [w, 0], [w, h], [0, h]] for w, h in sizes], np.float32).reshape(-1, 4, 2)


@given(sizes)
def test_every_box_is_asked_for_once_within_the_bounds_of_a_request(shapes: list[tuple[int, int]]) -> None:
    requests = plan(boxes_of(*shapes))
    assert sorted(index for request in requests for index in request.members) == list(range(len(shapes)))
    assert all(1 <= len(request.members) <= GROUP for request in requests)
    assert all(len(request.members) * request.width <= WIDEST for request in requests)


def test_six_of_similar_width_go_together_padded_to_the_widest() -> None:
    boxes = boxes_of(*[(48 * number, 48) for number in (9, 1, 8, 2, 7, 3, 30)])
    assert plan(boxes) == (Request(432, (1, 3, 5, 4, 2, 0)), Request(1440, (6,)))


def test_a_narrow_strip_is_padded_on_the_right_to_320() -> None:
    canvas = np.full((48, 96, 3), 200, np.uint8)
    boxes = boxes_of((96, 48))
    (request,) = plan(boxes)
    (strip,) = pack(canvas, boxes, request)
    assert strip.shape == (HEIGHT, 320, 3)
    assert (strip[:, :96] == 200).all()
    assert (strip[:, 96:] == PADDING).all()


def test_a_hairline_is_squeezed_into_the_widest_strip() -> None:
    boxes = boxes_of((2000, 4))
    (request,) = plan(boxes)
    assert pack(np.zeros((4, 2000, 3), np.uint8), boxes, request).shape == (1, HEIGHT, WIDEST, 3)


def test_what_stands_taller_than_wide_is_turned_to_the_left() -> None:
    canvas = np.zeros((400, 48, 3), np.uint8)
    canvas[:200] = 255
    boxes = boxes_of((48, 400))
    (strip,) = pack(canvas, boxes, plan(boxes)[0])
    assert strip.shape == (HEIGHT, 400, 3)
    assert strip[:, :190].min() == 255
    assert strip[:, 210:].max() == 0


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([0, 0, 0], ""),
        ([1, 1, 0, 2], "ab"),
        ([1, 0, 1], "aa"),
        ([3, 3, 3], " "),
        ([2, 1, 0, 0, 1, 2], "baab"),
    ],
)
def test_repeats_merge_and_blanks_separate(ids: list[int], text: str) -> None:
    probs = np.full(len(ids), 0.75, np.float32)
    assert decode(np.array(ids, np.int32), probs, ("a", "b", " ")) == (text, 0.75 if text else 0.0)


def test_confidence_is_the_mean_of_the_letters_own_steps_and_never_above_one() -> None:
    ids = np.array([0, 1, 1, 0, 2], np.int32)
    assert decode(ids, np.array([0.1, 0.9, 0.2, 0.3, 0.7], np.float32), ("a", "b"))[1] == pytest.approx(0.8)
    assert decode(ids, np.full(5, 1.0000001, np.float32), ("a", "b"))[1] == 1.0
