"""The shipped demo detector does what its card says, on clips it never saw that went through H.264 and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.encode import read_rgb, write_h264
from vidette_models.demo.card import detector_path, digest_of, load_card
from vidette_models.demo.evaluation import Predictions, accuracy, overlaps
from vidette_models.demo.proof import CLIP_SEEDS, measure_clips
from vidette_models.demo.runner import DemoRunner, letterbox, suppress
from vidette_models.demo.sample import SEED, sample_path, sample_truth, truth_path
from vidette_models.demo.scenes import LABELS, SceneClip


@pytest.fixture(scope="module")
def runner() -> DemoRunner:
    return DemoRunner(detector_path())


def test_the_detector_finds_nearly_everything_in_held_out_h264_clips(tmp_path: Path) -> None:
    measured = measure_clips(detector_path(), tmp_path, CLIP_SEEDS, frames=25)
    assert measured.pictures == 25 * len(CLIP_SEEDS)
    assert set(measured.per_class50) == set(LABELS)
    assert measured.map50 >= 0.95, measured
    assert measured.map75 >= 0.75, measured
    assert measured.map50 == pytest.approx(load_card().clips.map50, abs=0.02)


def test_a_detector_that_sees_the_wrong_picture_fails_the_same_measurement(tmp_path: Path, runner: DemoRunner) -> None:
    film = tmp_path / "clip.mp4"
    frames = list(SceneClip(7, 5))
    write_h264(film, (frame.image for frame in frames))
    found = [runner.detect(np.ascontiguousarray(picture[:, ::-1])) for picture in read_rgb(film)]
    assert accuracy(found, [frame.truth for frame in frames]).map50 < 0.5


def test_the_card_names_this_very_file_and_the_labels_of_the_scenes() -> None:
    card = load_card()
    assert card.sha256 == digest_of(detector_path())
    assert card.labels == LABELS
    assert card.family == "yolo_raw"
    assert (card.stills.map50, card.clips.map50) > (0.9, 0.95)


def test_the_export_is_a_plain_yolo_graph_that_older_runtimes_load() -> None:
    model = onnx.load(detector_path())
    assert detector_path().stat().st_size <= 3 * 1024 * 1024
    assert model.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert "NonMaxSuppression" not in {node.op_type for node in model.graph.node}
    names = {entry.key: entry.value for entry in model.metadata_props}["names"]
    assert tuple(json.loads(names).values()) == LABELS


def test_inputs_and_outputs_are_those_of_the_family_and_a_batch_equals_its_pictures() -> None:
    session = onnxruntime.InferenceSession(str(detector_path()), providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("images", "tensor(float)", [3, 320, 320])
    assert (given.name, given.type) == ("output0", "tensor(float)")
    clip = SceneClip(8, 3)
    squares = [letterbox(frame.image).square.transpose(2, 0, 1) for frame in clip]
    images = np.stack(squares).astype(np.float32) / 255
    (together,) = session.run(None, {"images": images})
    assert together.shape == (3, 4 + len(LABELS), 40 * 40 + 20 * 20 + 10 * 10)
    assert together[:, 4:].min() >= 0
    assert together[:, 4:].max() <= 1
    alone = np.concatenate([session.run(None, {"images": images[k : k + 1]})[0] for k in range(3)])
    assert np.abs(together - alone).max() < 1e-2


def test_suppression_keeps_the_surest_of_each_class_and_spares_other_classes() -> None:
    boxes = np.asarray([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [30, 0, 40, 10]], np.float32)
    found = Predictions(boxes, np.asarray([0.5, 0.9, 0.4, 0.3], np.float32), np.asarray([1, 1, 2, 1]))
    kept = suppress(found)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.4, 0.3])
    assert kept.classes.tolist() == [1, 2, 1]


def test_the_shipped_clip_is_what_its_seed_draws_and_its_truth_is_stored_beside_it() -> None:
    clip = SceneClip(SEED, 100)
    stored = json.loads(truth_path().read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(sample_truth(clip)))
    assert sample_path().stat().st_size <= 400 * 1024
    pictures = list(read_rgb(sample_path()))
    assert len(pictures) == len(clip) == 100
    assert len({actor.kind for actor in clip.actors}) >= 4
    for index in (0, 50, 99):
        assert np.abs(pictures[index].astype(int) - clip[index].image).mean() < 6


def test_every_object_of_the_shipped_clip_is_found_and_nothing_else_is(runner: DemoRunner) -> None:
    clip = SceneClip(SEED, 100)
    for index, picture in enumerate(read_rgb(sample_path())):
        if index % 10:
            continue
        truth, found = clip[index].truth, runner.detect(picture)
        sure = found.scores >= 0.25
        assert sorted(found.classes[sure]) == sorted(truth.classes), f"frame {index}"
        assert (overlaps(truth.boxes, found.boxes[sure]).max(1) > 0.5).all(), f"frame {index}"
