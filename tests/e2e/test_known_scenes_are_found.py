"""A clip whose truth is drawn, through api, store, controller, worker and Triton: its objects and texts come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.stacks import completed
from vidette.client import Client
from vidette.models import FrameRow
from vidette_models.demo.evaluation import Predictions, accuracy
from vidette_models.demo.painting import Truth
from vidette_models.demo.sample import sample_path
from vidette_models.demo.scenes import SceneClip
from vidette_models.demo.sprites import LABELS
from vidette_models.demo.video import write_h264


def predictions_of(row: FrameRow) -> Predictions:
    """The row's detections as corners, scores and class indices."""
    found = row.result.detections
    sizes = np.array([detection.bbox for detection in found], np.float32).reshape(-1, 4)
    boxes = np.concatenate([sizes[:, :2], sizes[:, :2] + sizes[:, 2:]], axis=1)
    scores = np.array([detection.confidence for detection in found], np.float32)
    return Predictions(boxes, scores, np.array([LABELS.index(detection.label) for detection in found], np.int64))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SceneClip]:
    scene = SceneClip(4711, frames=60)
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    write_h264(path, (frame.image for frame in scene))
    return path, scene


def test_the_objects_of_a_drawn_clip_are_found_where_they_are(client: Client, clip: tuple[Path, SceneClip]) -> None:
    path, scene = clip
    rows = completed(client, client.submit(path, "yolo"))
    truths: list[Truth] = [frame.truth for frame in scene]
    assert [row.frame_index for row in rows] == list(range(60))
    assert accuracy([predictions_of(row) for row in rows], truths).map50 >= 0.95


def test_the_captions_of_a_drawn_clip_are_read_on_every_frame(client: Client, clip: tuple[Path, SceneClip]) -> None:
    path, scene = clip
    rows = completed(client, client.submit(path, "yolo_ocr", frame_stride=20))
    wanted = sorted(caption.text for caption in scene.captions)
    assert [row.frame_index for row in rows] == [0, 20, 40]
    for row in rows:
        assert sorted(row.result.text.split("\n")) == wanted
        assert sorted(line.text for line in row.result.lines) == wanted
        assert all(detection.label in LABELS for detection in row.result.detections)


def test_the_sample_clip_of_the_demo_shows_what_its_truth_says(client: Client) -> None:
    truth = json.loads(sample_path().with_suffix(".json").read_text())
    rows = completed(client, client.submit(sample_path(), "yolo", frame_stride=25))
    for row in rows:
        drawn = sorted(thing["label"] for thing in truth["frames"][row.frame_index]["objects"])
        assert sorted(detection.label for detection in row.result.detections) == drawn
