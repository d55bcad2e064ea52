"""The demo's drawn scenes tell the truth about themselves: everything measured with them rests on that."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidette_models.demo.evaluation import Predictions, accuracy, average_precisions
from vidette_models.demo.painting import Pose, compose
from vidette_models.demo.pictures import SIDE, STRIP, Batches
from vidette_models.demo.scenes import LABELS, LARGEST, SMALLEST, SceneClip, Truth
from vidette_models.demo.sprites import draw_sprite

SEEDS = (1, 2, 3, 4)


def predicted(truth: Truth, score: float = 0.9) -> Predictions:
    return Predictions(truth.boxes, np.full(len(truth.classes), score, np.float32), truth.classes)


def test_the_same_seed_draws_the_same_pixels_and_another_seed_does_not() -> None:
    first, again, other = SceneClip(5, 3)[2], SceneClip(5, 3)[2], SceneClip(6, 3)[2]
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.truth.boxes, again.truth.boxes)
    assert first.captions == again.captions
    assert not np.array_equal(first.image, other.image)


def test_a_clip_yields_as_many_frames_as_asked_for_in_the_size_asked_for() -> None:
    frames = list(SceneClip(5, 4, 320, 180))
    assert len(frames) == 4
    assert {frame.image.shape for frame in frames} == {(180, 320, 3)}
    with pytest.raises(IndexError, match="frame 4"):
        SceneClip(5, 4)[4]


@pytest.mark.parametrize("kind", range(len(LABELS)), ids=LABELS)
def test_a_box_is_the_outline_of_the_pixels_that_an_object_covers(kind: int) -> None:
    black, white = (np.full((200, 300, 3), level, np.uint8) for level in (0, 255))
    pose = Pose(kind, style=11, x=150.3, foot=150.6, size=90.0)
    truth, _ = compose(black, [pose]), compose(white, [pose])
    covered = (white.astype(int) - black).max(2) < 127  # what shows of the backdrop is what differs between the two
    rows, columns = np.nonzero(covered)
    outline = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert truth.classes.tolist() == [kind]
    assert np.abs(truth.boxes[0] - outline).max() <= 1
    wide, tall = truth.boxes[0, 2:] - truth.boxes[0, :2]
    assert max(wide, tall) == pytest.approx(90, abs=2)


def test_an_object_hidden_by_more_than_two_fifths_is_no_part_of_the_truth() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    behind = Pose(LABELS.index("ball"), style=1, x=150, foot=150, size=60)
    in_front = Pose(LABELS.index("bus"), style=2, x=150, foot=170, size=200)
    assert [LABELS[kind] for kind in compose(picture, [behind, in_front]).classes] == ["bus"]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_object_of_a_clip_is_in_the_truth_of_every_frame_and_within_the_sizes(seed: int) -> None:
    clip = SceneClip(seed, 60)
    for index in range(0, 60, 10):
        boxes, classes = clip[index].truth.boxes, clip[index].truth.classes
        assert classes.tolist() == [actor.kind for actor in clip.actors]
        longest = (boxes[:, 2:] - boxes[:, :2]).max(1)
        assert longest.min() >= SMALLEST
        assert longest.max() <= LARGEST


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_move_and_never_leave_the_picture(seed: int) -> None:
    clip = SceneClip(seed, 400)
    first, last = clip[0].truth.boxes, clip[399].truth.boxes
    assert not np.array_equal(first, last)
    for boxes in (first, last):
        assert boxes.min() >= 0
        assert (boxes[:, 2] <= 640).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_object_ever_covers_a_caption(seed: int) -> None:
    clip = SceneClip(seed, 60)
    backdrop = clip.backdrop
    for index in range(0, 60, 6):
        for caption in clip.captions:
            left, top, right, low = (int(edge) for edge in caption.box)
            assert np.array_equal(clip[index].image[top:low, left:right], backdrop[top:low, left:right])


@pytest.mark.parametrize("seed", SEEDS)
def test_captions_are_two_different_lines_that_stand_out_in_large_letters(seed: int) -> None:
    clip = SceneClip(seed, 1)
    assert len({caption.text for caption in clip.captions}) == 2
    for caption in clip.captions:
        assert not set(caption.text) & set("01")
        left, top, right, low = (int(edge) for edge in caption.box)
        assert 0 <= left < right <= 640
        assert low - top >= 22
        plate = cv2.cvtColor(clip.backdrop[top:low, left:right], cv2.COLOR_RGB2GRAY).astype(int)
        ink = np.abs(plate - plate[1, 1]) > 100
        assert 14 <= np.flatnonzero(ink.any(1)).size <= low - top - 6
        assert 0.05 < ink.mean() < 0.6


def test_a_sprite_keeps_its_looks_while_it_moves() -> None:
    resting, turned = (draw_sprite(LABELS.index("ball"), 3, phase) for phase in (0.0, 2 * np.pi))
    assert np.abs(resting.astype(int) - turned).mean() < 1
    other = draw_sprite(LABELS.index("ball"), 4, 0.0)
    assert np.abs(cv2.resize(other, resting.shape[1::-1]).astype(int) - resting).mean() > 1


def test_training_batches_are_the_same_for_the_same_seed_and_letterboxed_in_the_middle() -> None:
    first, again = (Batches(1, size=4, steps=3) for _ in range(2))
    heights = set()
    for step in range(3):
        one, two = first[step], again[step]
        assert np.array_equal(one.pictures, two.pictures)
        assert np.array_equal(one.boxes, two.boxes)
        assert ((one.classes >= 0) == (one.boxes[..., 2] > one.boxes[..., 0])).all()
        assert (one.pictures[:, 0, 0] == one.pictures[:, -1, -1]).all() or one.pictures.shape[1] == SIDE
        heights.add(one.pictures.shape[1])
    assert heights <= {SIDE, STRIP[1] - STRIP[0]}


def test_perfect_predictions_score_one_and_wrong_ones_score_nothing() -> None:
    truths = [frame.truth for frame in SceneClip(2, 3)]
    perfect = accuracy([predicted(truth) for truth in truths], truths)
    assert (perfect.map50, perfect.map75) == (1.0, 1.0)
    wrong = [Predictions(p.boxes, p.scores, (p.classes + 1) % len(LABELS)) for p in map(predicted, truths)]
    assert accuracy(wrong, truths).map50 < 0.5
    fifths = [np.tile(truth.boxes[:, 2:] - truth.boxes[:, :2], 2) / 5 for truth in truths]
    moved = [
        Predictions((p.boxes + by).astype(np.float32), p.scores, p.classes)
        for p, by in zip(map(predicted, truths), fifths, strict=True)
    ]
    assert accuracy(moved, truths).map75 == 0.0


def test_average_precision_integrates_over_every_point_of_the_recall_curve() -> None:
    boxes = np.asarray([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], np.float32)
    truth = Truth(boxes, np.zeros(4, np.int64))
    found = np.asarray([boxes[0], [100, 0, 110, 10], boxes[1], boxes[1], boxes[2]], np.float32)
    scores = np.asarray([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    precision = average_precisions([Predictions(found, scores, np.zeros(5, np.int64))], [truth], 0.5)
    # right, wrong, right, wrong (taken), right; one box never found: precision 1, 2/3 and 3/5 over a quarter each
    assert precision == {LABELS[0]: pytest.approx((1 + 2 / 3 + 3 / 5) / 4)}
