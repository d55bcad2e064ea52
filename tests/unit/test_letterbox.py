"""Fitting a frame into a square and bringing boxes back: the way there and back is the identity, to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidette_core.domain.pipelines import Letterbox
from vidette_frame_worker.letterbox import GREY, fit, letterbox

SIDES = st.integers(16, 2000)
MODES = st.sampled_from(list(Letterbox))


@given(SIDES, SIDES, st.sampled_from([320, 416, 640]), MODES)
def test_the_frames_corners_come_back_where_they_were(width: int, height: int, size: int, mode: Letterbox) -> None:
    fitted = fit(width, height, size, mode)
    inner = np.array(
        [[fitted.left, fitted.top, fitted.left + fitted.inner[0], fitted.top + fitted.inner[1]]], np.float32
    )
    assert np.allclose(fitted.to_frame(inner), [[0, 0, width, height]], atol=0.01)


@given(SIDES, SIDES, st.sampled_from([Letterbox.CENTRE, Letterbox.TOP_LEFT]))
def test_the_picture_touches_two_opposite_sides_and_stays_inside(width: int, height: int, mode: Letterbox) -> None:
    fitted = fit(width, height, 640, mode)
    assert max(fitted.inner) == 640
    assert fitted.left + fitted.inner[0] <= 640
    assert fitted.top + fitted.inner[1] <= 640
    if mode is Letterbox.CENTRE:
        assert abs(640 - fitted.inner[0] - 2 * fitted.left) <= 1
        assert abs(640 - fitted.inner[1] - 2 * fitted.top) <= 1


@given(SIDES, SIDES, st.sampled_from([320, 416, 640]), MODES)
def test_the_middle_of_the_picture_is_the_middle_of_the_frame(
    width: int, height: int, size: int, mode: Letterbox
) -> None:
    fitted = fit(width, height, size, mode)
    x, y = fitted.left + fitted.inner[0] / 2, fitted.top + fitted.inner[1] / 2
    (found,) = fitted.to_frame(np.array([[x, y, x, y]], np.float32)).tolist()
    assert np.allclose(found, [width / 2, height / 2] * 2, atol=0.01)


@given(SIDES, SIDES)
def test_a_stretched_picture_fills_the_square_whatever_its_shape(width: int, height: int) -> None:
    fitted = fit(width, height, 640, Letterbox.STRETCH)
    assert (fitted.inner, fitted.left, fitted.top) == ((640, 640), 0, 0)
    (box,) = fitted.to_frame(np.array([[160, 320, 480, 640]], np.float32)).tolist()
    assert np.allclose(box, [width / 4, height / 2, width * 3 / 4, height], atol=0.01)


def test_nothing_of_a_stretched_picture_is_grey() -> None:
    square, _ = letterbox(np.full((50, 100, 3), 255, np.uint8), 64, Letterbox.STRETCH)
    assert square.shape == (64, 64, 3)
    assert (square == 255).all()


def test_a_picture_in_the_corner_is_cut_off_to_whole_pixels_as_yolox_does() -> None:
    # 335 of 500 pixels are 278.72 of 416: YOLOX's `int` makes 278, where Ultralytics' `round` makes 279.
    assert fit(500, 335, 416, Letterbox.TOP_LEFT).inner == (416, 278)
    assert fit(500, 335, 416, Letterbox.CENTRE).inner == (416, 279)


def test_boxes_outside_the_frame_are_clipped_to_it() -> None:
    fitted = fit(100, 50, 200, Letterbox.CENTRE)
    assert fitted.to_frame(np.array([[-50, 0, 500, 500]], np.float32)).tolist() == [[0, 0, 100, 50]]


def test_what_is_not_picture_is_grey() -> None:
    image = np.full((50, 100, 3), 255, np.uint8)
    square, fitted = letterbox(image, 64, Letterbox.CENTRE)
    assert square.shape == (64, 64, 3)
    assert fitted.top == 16
    assert (square[:16] == GREY).all()
    assert (square[48:] == GREY).all()
    assert (square[16:48] == 255).all()
