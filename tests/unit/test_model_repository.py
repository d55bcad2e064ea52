"""The model repository on disk: versions, idempotence, and what a crash leaves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.detectors import LABELS, tiny_yolo
from tests.support.triton import tiny_detector_model, write_models
from vidette_core.domain.pipelines import Catalog, Pipeline
from vidette_models.builtin import write_builtin
from vidette_models.errors import UnsupportedModel
from vidette_models.repository import Repository
from vidette_models.triton_config import Serving


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "detector.onnx").write_bytes(tiny_yolo())
    (folder / "detector.json").write_text(json.dumps({"family": "yolo_raw", "labels": LABELS, "command": "train"}))
    return folder


def times(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_the_same_bytes_are_the_same_version_and_touch_nothing(tmp_path: Path) -> None:
    (first,) = write_models(tmp_path, tiny_detector_model())
    before = times(tmp_path)
    (second,) = write_models(tmp_path, tiny_detector_model())
    assert second == first
    assert times(tmp_path) == before


def test_a_changed_model_is_the_next_version_beside_the_old_one(tmp_path: Path) -> None:
    (old,) = write_models(tmp_path, tiny_detector_model(seed=1))
    (new,) = write_models(tmp_path, tiny_detector_model(seed=2))
    assert (old.version, new.version) == (1, 2)
    assert old.digest != new.digest
    repository = Repository(tmp_path)
    assert repository.holds(old)
    assert repository.holds(new)
    assert "version_policy { all { } }" in (tmp_path / "tiny-detector" / "config.pbtxt").read_text()


def test_going_back_to_a_version_before_makes_no_new_one(tmp_path: Path) -> None:
    (old,) = write_models(tmp_path, tiny_detector_model(seed=1))
    write_models(tmp_path, tiny_detector_model(seed=2))
    write_models(tmp_path, tiny_detector_model(seed=3))
    assert write_models(tmp_path, tiny_detector_model(seed=1)) == (old,)


def test_deleted_versions_are_gone_and_the_model_with_its_last_one(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write_models(tmp_path, tiny_detector_model(seed=seed))
    repository = Repository(tmp_path)
    with repository.locked():
        repository.delete("tiny-detector", [1, 2])
        assert repository.versions("tiny-detector") == [3]
        assert repository.names() == ["tiny-detector"]
        repository.delete("tiny-detector", [3])
    assert repository.names() == []
    assert not (tmp_path / "tiny-detector").exists()


def test_a_file_that_rotted_is_replaced_by_a_new_version(tmp_path: Path) -> None:
    (old,) = write_models(tmp_path, tiny_detector_model())
    (tmp_path / "tiny-detector" / "1" / "model.onnx").write_bytes(b"rot")
    (new,) = write_models(tmp_path, tiny_detector_model())
    assert (new.version, new.digest) == (2, old.digest)


def test_what_a_crash_left_half_written_is_removed_and_written_again(tmp_path: Path) -> None:
    half = tmp_path / "tiny-detector" / ".staging-abc" / "1"
    half.mkdir(parents=True)
    (half / "model.onnx").write_bytes(b"half")
    (ref,) = write_models(tmp_path, tiny_detector_model())
    assert ref.version == 1
    assert sorted(path.name for path in (tmp_path / "tiny-detector").iterdir()) == ["1", "config.pbtxt"]


def test_other_settings_change_the_configuration_and_no_version(tmp_path: Path) -> None:
    (old,) = write_models(tmp_path, tiny_detector_model())
    (new,) = write_models(tmp_path, tiny_detector_model(), serving=Serving(threads=3))
    config = (tmp_path / "tiny-detector" / "config.pbtxt").read_text()
    assert new == old
    assert 'key: "intra_op_thread_count" value { string_value: "3" }' in config
    assert "dynamic_batching { max_queue_delay_microseconds: 2000" in config


def test_where_nothing_lasts_a_number_stands_for_one_content_whoever_wrote_it(tmp_path: Path) -> None:
    """A job that pinned a model of an earlier installation must not meet another one under its number."""
    first, again = (Repository(tmp_path / name, lasting=False).add(tiny_detector_model()) for name in ("a", "b"))
    other = Repository(tmp_path / "c", lasting=False).add(tiny_detector_model(seed=2))
    assert first == again
    assert other.version != first.version
    assert (tmp_path / "c" / other.name / str(other.version) / "model.onnx").is_file()


def test_the_builtin_pipelines_name_models_that_are_there(tmp_path: Path, demo: Path) -> None:
    catalog = write_builtin(tmp_path / "models", demo=demo)
    assert catalog.ids == ("yolo_ocr", "yolo", "ocr")
    repository = Repository(tmp_path / "models")
    assert repository.catalog() == catalog
    both, only_objects, only_text = catalog.pipelines
    assert all(repository.holds(model) for model in both.models)
    assert both.models == (*only_objects.models, *only_text.models)
    assert only_text.text is not None
    assert (len(only_text.text.alphabet), only_text.text.alphabet[0], only_text.text.alphabet[-1]) == (18709, "!", " ")


def test_a_second_start_writes_nothing_and_takes_well_below_a_second(tmp_path: Path, demo: Path) -> None:
    root = tmp_path / "models"
    catalog = write_builtin(root, demo=demo)
    before, start = times(root), time.perf_counter()
    assert write_builtin(root, demo=demo) == catalog
    assert time.perf_counter() - start < 0.5
    assert times(root) == before


def test_a_lost_model_file_is_written_again(tmp_path: Path, demo: Path) -> None:
    root = tmp_path / "models"
    write_builtin(root, demo=demo)
    (root / "ppocr-rec" / "1" / "model.onnx").unlink()
    catalog = write_builtin(root, demo=demo)
    assert all(Repository(root).holds(model) for pipeline in catalog.pipelines for model in pipeline.models)


def test_pipelines_of_others_stay(tmp_path: Path, demo: Path) -> None:
    root = tmp_path / "models"
    repository = Repository(root)
    own = Pipeline(id="own", description="Somebody's own", detector=None, text=None)
    with repository.locked():
        repository.publish(Catalog(pipelines=(own,)))
    assert write_builtin(root, demo=demo).get("own") == own


def test_a_missing_demo_detector_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"detector\.json.*Install vidette-models again"):
        write_builtin(tmp_path / "models", demo=tmp_path)
