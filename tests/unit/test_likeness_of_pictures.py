"""Noise passes, text does not: when two pictures show the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from vidette_frame_worker.ocr.likeness import BOUND, WINDOW, Line, looks_the_same

GREY = np.full((200, 320, 3), 120, np.uint8)


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(WINDOW, 150),
    width=st.integers(WINDOW, 40),
    spread=st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_pictures_look_the_same_while_no_window_differs_by_more_than_the_bound(
    seed: int, height: int, width: int, spread: int
) -> None:
    dice = np.random.default_rng(seed)
    before = dice.integers(0, 256, (height, width, 3)).astype(np.uint8)
    now = np.clip(before + dice.integers(-spread, spread + 1, before.shape), 0, 255).astype(np.uint8)
    differences = np.abs(before.astype(int) - now)
    sums = sliding_window_view(differences, (WINDOW, WINDOW), axis=(0, 1)).sum(axis=(-1, -2))
    assert looks_the_same(before, now) == (sums.max() <= BOUND)


@pytest.mark.parametrize("contrast", [13, 60, 120])
@pytest.mark.parametrize("mark", [".", "i", "-"])
def test_the_smallest_mark_is_a_change_wherever_it_stands(mark: str, contrast: int) -> None:
    for x, y in ((3, 40), (160, 64), (301, 131), (80, 196)):
        written = GREY.copy()
        ink = (120 + contrast,) * 3
        cv2.putText(written, mark, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, ink, 2)
        assert not looks_the_same(GREY, written)


def test_a_digit_that_becomes_another_is_a_change() -> None:
    pictures = []
    for digit in "38":
        picture = GREY.copy()
        cv2.putText(picture, f"12:4{digit}", (20, 90), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (150, 150, 150), 1, cv2.LINE_AA)
        pictures.append(picture)
    assert not looks_the_same(*pictures)


def test_grain_is_noise() -> None:
    grain = np.random.default_rng(1).integers(-4, 5, GREY.shape)
    assert looks_the_same(GREY, (GREY + grain).astype(np.uint8))


def test_pictures_of_different_sizes_do_not_look_the_same() -> None:
    assert not looks_the_same(GREY, GREY[:-1])


def line(left: int, top: int, right: int, bottom: int, *, padded: int = 320, level: int = 120, slant: int = 0) -> Line:
    picture = GREY.copy()
    picture[50:70, 100:200] = level
    return Line(picture, (left, top, right, top + slant, right, bottom, left, bottom - slant), padded)


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (line(98, 48, 202, 72), True),
        (line(98, 48, 202, 72, level=122), True),
        (line(98, 48, 203, 72), False),
        (line(98, 48, 202, 72, slant=2), False),
        (line(98, 48, 202, 72, padded=321), False),
        (line(98, 48, 202, 72, level=130), False),
    ],
    ids=["equal", "noise", "a wider box", "a slanted box", "padded otherwise", "another shade"],
)
def test_a_line_is_the_same_in_the_same_box_with_the_same_pixels_and_padding(now: Line, same: bool) -> None:
    assert line(98, 48, 202, 72).remembered().is_still(now) == same


def test_changes_just_outside_the_box_count_also_at_the_pictures_edge() -> None:
    assert not line(0, 0, 320, 48).remembered().is_still(line(0, 0, 320, 48, level=200))
    assert line(0, 0, 320, 46).remembered().is_still(line(0, 0, 320, 46, level=200))
