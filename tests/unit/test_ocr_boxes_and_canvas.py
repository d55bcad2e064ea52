"""Where text is looked for and where boxes are drawn, with bounds that hold for hostile pictures too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidette_core.domain.results import MAX_LINES
from vidette_frame_worker.ocr.boxes import find_boxes, reading_order
from vidette_frame_worker.ocr.canvas import LONGEST_DETECTION_SIDE, Canvas, detection_input, prepare


def frame(width: int, height: int) -> Canvas:
    return prepare(np.zeros((height, width, 3), np.uint8))


def test_a_small_frame_is_enlarged_for_detection_until_its_shorter_side_is_736() -> None:
    canvas = frame(640, 360)
    assert canvas.pixels.shape == (360, 640, 3)
    assert detection_input(canvas).shape == (1, 736, 1312, 3)


def test_a_frame_within_the_limits_is_only_brought_to_multiples_of_32() -> None:
    assert detection_input(frame(1280, 745)).shape == (1, 736, 1280, 3)


def test_a_large_frame_is_reduced_to_2000_and_boxes_find_back_to_its_pixels() -> None:
    canvas = frame(4000, 2000)
    assert canvas.pixels.shape == (992, 1984, 3)
    corner = np.array([[[0, 0], [1984, 0], [1984, 992], [0, 992]]], np.float32)
    assert canvas.to_frame(corner) == pytest.approx(np.array([[[0, 0], [4000, 0], [4000, 2000], [0, 2000]]]))


def test_a_low_frame_stands_between_black_bars_that_polygons_do_not_count() -> None:
    canvas = prepare(np.full((100, 1600, 3), 255, np.uint8))
    assert canvas.top == 150
    assert canvas.pixels.shape == (400, 1600, 3)
    assert not canvas.pixels[:150].any()
    box = np.array([[[5, 150], [50, 150], [50, 260], [5, 260]]], np.float32)
    assert canvas.to_frame(box)[0].tolist() == [[5, 0], [50, 0], [50, 100], [5, 100]]


@settings(deadline=None, max_examples=60)
@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_whatever_the_frame_the_detector_gets_multiples_of_32_within_bounds(width: int, height: int) -> None:
    _, tall, wide, _ = detection_input(frame(width, height)).shape
    assert tall % 32 == 0
    assert wide % 32 == 0
    assert min(tall, wide) >= 32
    assert max(tall, wide) <= LONGEST_DETECTION_SIDE


def test_a_box_is_its_blob_grown_by_area_times_ratio_over_perimeter() -> None:
    probability = np.zeros((100, 300), np.uint8)
    probability[40:60, 50:250] = 255
    (box,) = find_boxes(probability, 300, 100)
    growth = 200 * 20 * 1.6 / 440
    expected = [
        [50 - growth, 40 - growth],
        [250 + growth, 40 - growth],
        [250 + growth, 60 + growth],
        [50 - growth, 60 + growth],
    ]
    assert box == pytest.approx(np.array(expected), abs=3)


@pytest.mark.parametrize(("value", "boxes"), [(76, 0), (127, 0), (140, 1), (255, 1)])
def test_a_blob_counts_when_its_mean_probability_is_at_least_one_half(value: int, boxes: int) -> None:
    probability = np.zeros((100, 300), np.uint8)
    probability[40:60, 50:250] = value
    assert len(find_boxes(probability, 300, 100)) == boxes


def test_seventy_six_of_255_separates_two_lines_and_seventy_seven_joins_them() -> None:
    probability = np.zeros((100, 300), np.uint8)
    probability[30:50, 20:280] = probability[60:80, 20:280] = 255
    probability[50:60, 20:280] = 76
    assert len(find_boxes(probability, 300, 100)) == 2
    probability[50:60, 20:280] = 77
    assert len(find_boxes(probability, 300, 100)) == 1


def test_nothing_found_is_no_boxes() -> None:
    assert find_boxes(np.zeros((64, 64), np.uint8), 640, 640).shape == (0, 4, 2)


def test_a_picture_of_ten_thousand_specks_gives_at_most_a_thousand_boxes() -> None:
    probability = np.zeros((1000, 1000), np.uint8)
    probability[np.ix_(np.arange(1000) % 10 < 6, np.arange(1000) % 10 < 6)] = 255
    assert 0 < len(find_boxes(probability, 1000, 1000)) <= MAX_LINES


def test_boxes_on_one_height_read_from_left_to_right_and_rows_from_top_to_bottom() -> None:
    corners = [(300, 104), (10, 200), (10, 100), (200, 96), (300, 209)]
    boxes = np.array([[[x, y], [x + 50, y], [x + 50, y + 20], [x, y + 20]] for x, y in corners], np.float32)
    ordered = [tuple(box[0].astype(int).tolist()) for box in reading_order(boxes)]
    assert ordered == [(10, 100), (200, 96), (300, 104), (10, 200), (300, 209)]
