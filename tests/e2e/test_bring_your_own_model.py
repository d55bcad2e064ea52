"""`vidette models` on the running stack: a user's model works, is replaced and goes, and the stack is never restarted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.test_boxes_equal_plain_onnx_runtime import Reference, differences
from tests.support.limits import LIMITS
from tests.support.real_inputs import YoloxCase, yolox_case
from tests.support.stacks import completed, until
from vidette.client import Client
from vidette.models import JobState
from vidette_core.domain.containers import SNIFF_BYTES, sniff
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import LocalFile, Video
from vidette_local.stack_process import StackProcess
from vidette_models.builtin import DEMO_FOLDER
from vidette_models.demo.card import load_card
from vidette_models.demo.sample import sample_path

DEMO = str(DEMO_FOLDER / "detector.onnx")


@dataclass(frozen=True, slots=True)
class Command:
    """`vidette models` for one stack."""

    home: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("VIDETTE_")}
        return subprocess.run(
            [sys.executable, "-m", "vidette.cli", "models", *arguments],
            env={**inherited, "VIDETTE_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def done(self, *arguments: str) -> str:
        """What it said, once it ended with 0."""
        ran = self.run(*arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stderr + ran.stdout

    def refused(self, *arguments: str) -> str:
        """The refusal: exit code 2, a sentence or two, and no stack."""
        ran = self.run(*arguments)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "Traceback" not in ran.stderr
        assert ran.stderr.count("\n") <= 3
        return ran.stderr

    def older_in_the_end(self, name: str, expected: list[int]) -> bool:
        """Whether these versions are kept for jobs, once no upload that was cut off in an earlier test may need another."""
        end = time.monotonic() + 90
        while self.listed()[name]["older"] != expected and time.monotonic() < end:
            self.done("prune")
        return self.listed()[name]["older"] == expected

    def listed(self) -> dict[str, dict[str, object]]:
        return {model["name"]: model for model in json.loads(self.done("list", "--json"))["models"]}


@pytest.fixture
def models(stack: StackProcess) -> Iterator[Command]:
    command = Command(stack.home.path)
    pids = {part["name"]: part["pid"] for part in stack.ps() if not part["name"].startswith("worker-")}
    yield command
    nothing = stack.home.path.parent / "nothing.toml"
    nothing.write_text("")
    command.done("apply", str(nothing))
    for name, model in command.listed().items():
        if model["origin"] == "model":
            command.done("remove", name)
    after = {part["name"]: part["pid"] for part in stack.ps() if not part["name"].startswith("worker-")}
    assert after == pids, "nothing was restarted"


@pytest.fixture
def add_demo(models: Command, tmp_path: Path) -> Callable[..., str]:
    """Add the demo's detector under a name of one's own."""
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(load_card().labels))

    def add(name: str, *options: str) -> str:
        return models.done("add", DEMO, "--family", "yolo_raw", "--labels", str(labels), "--name", name, *options)

    return add


@pytest.mark.timeout(600)
def test_a_users_model_finds_what_plain_onnx_runtime_finds(models: Command, client: Client, tmp_path: Path) -> None:
    case = yolox_case(tmp_path)
    options = ("--family", "yolox", "--labels", case.labels, "--name", "yolox_nano")
    assert "yolox_nano version 1" in models.done("add", str(case.exported), *options)
    with_text = client.submit(case.video, "yolox_nano_ocr", max_frames=2)
    rows = completed(client, client.submit(case.video, "yolox_nano", frame_stride=case.stride), timeout=400)
    found = {
        row.frame_index: [
            (thing.class_id, thing.confidence, (*thing.bbox[:2], *(thing.bbox[i] + thing.bbox[i + 2] for i in (0, 1))))
            for thing in row.result.detections
        ]
        for row in rows
    }
    boxes = _compare(case, found)
    assert boxes > 100
    for row, alone in zip(completed(client, with_text), rows, strict=False):
        assert row.frame_index != 0 or row.result.detections == alone.result.detections


def _compare(case: YoloxCase, found: dict[int, list[tuple[int, float, tuple[float, ...]]]]) -> int:
    """Hold each analysed frame against the reference; returns how many boxes there were."""
    reference = Reference(case.exported.read_bytes())
    container = sniff(case.video.read_bytes()[:SNIFF_BYTES])
    assert container is not None
    seen = boxes = 0
    for frame in Video(LocalFile(case.video), container, LIMITS).frames(Sampling(case.stride)):
        assert frame.image is not None
        height, width = frame.image.shape[:2]
        expected = reference.find(frame.image)
        assert differences(found[frame.frame_index], expected, width, height) == [], f"frame {frame.frame_index}"
        seen, boxes = seen + 1, boxes + len(expected)
    assert seen == len(found)
    return boxes


@pytest.mark.timeout(400)
def test_a_job_under_way_keeps_its_version_though_the_model_is_replaced_twice_and_removed(
    models: Command, client: Client, add_demo: Callable[..., str]
) -> None:
    add_demo("mine", "--score-threshold", "0.3")
    job = client.submit(sample_path(), "mine_ocr", frame_stride=2)
    until(client, job, lambda status: status.status is JobState.RUNNING)
    assert "mine version 2" in add_demo("mine", "--score-threshold", "0.35")
    assert "mine version 3" in add_demo("mine", "--score-threshold", "0.4")
    assert models.older_in_the_end("mine", [1]), "the second was pinned by nobody"
    models.done("remove", "mine")
    assert "mine" not in {pipeline.id for pipeline in client.pipelines()}
    assert client.status(job).status is JobState.RUNNING, "the job was too short for this test"
    rows = completed(client, job, timeout=300)
    assert [row.frame_index for row in rows] == list(range(0, 100, 2))
    assert all(row.result.error is None for row in rows)
    pinned = {model.name: model.version for model in client.result_facts(job).models}
    assert pinned["mine"] == 1
    assert (models.home / "models" / "mine").is_dir(), "nobody has looked yet"
    assert "mine version 1" in models.done("prune")
    assert not (models.home / "models" / "mine").exists()


def test_the_same_model_again_changes_nothing_and_says_so(models: Command, add_demo: Callable[..., str]) -> None:
    add_demo("mine")
    before = models.listed()
    assert "mine version 1" in (said := add_demo("mine"))
    assert "nothing was changed" in said
    assert models.listed() == before


def test_what_is_listed_and_shown_is_what_was_added(models: Command, add_demo: Callable[..., str]) -> None:
    add_demo("mine", "--score-threshold", "0.3", "--iou-threshold", "0.5")
    mine = models.listed()["mine"]
    assert mine == json.loads(models.done("show", "mine", "--json"))
    assert (mine["family"], mine["size"], mine["version"]) == ("yolo_raw", 320, 1)
    assert (mine["score_threshold"], mine["iou_threshold"]) == (0.3, 0.5)
    assert mine["labels"] == list(load_card().labels)
    assert mine["pipelines"] == ["mine", "mine_ocr"]
    assert "320 × 320 pixels" in models.done("show", "mine")
    assert {"demo-detector", "ppocr-det", "ppocr-rec"} <= models.listed().keys()


def test_wrong_models_are_refused_and_the_stack_is_unharmed(models: Command, client: Client, tmp_path: Path) -> None:
    labels, noise = tmp_path / "two.txt", tmp_path / "noise.onnx"
    labels.write_text("one\ntwo\n")
    noise.write_bytes(b"no model at all" * 100)
    right = ("--labels", "coco", "--name", "wrong")
    before, offered = models.listed(), client.pipelines()
    refusals = [
        models.refused("add", DEMO, "--family", "yolox", *right),
        models.refused("add", DEMO, "--family", "yolov99", *right),
        models.refused("add", DEMO, "--family", "yolo_raw", *right),
        models.refused("add", DEMO, "--family", "yolo_raw", "--labels", str(labels), "--name", "wrong"),
        models.refused("add", str(noise), "--family", "yolo_raw", *right),
        models.refused("add", DEMO, "--family", "yolo_raw", "--size", "416", *right),
    ]
    assert all("found" in refusal and "expected" in refusal for refusal in refusals), refusals
    assert "no file" in models.refused("add", str(tmp_path / "absent.onnx"), "--family", "yolox", *right)
    for name in ("yolo", "demo-detector", "Wrong", "yolo_ocr"):
        assert name in models.refused("add", DEMO, "--family", "yolo_raw", "--labels", "coco", "--name", name)
    assert models.listed() == before
    assert client.pipelines() == offered
    assert not (models.home / "models" / "wrong").exists()
    assert len(completed(client, client.submit(sample_path(), "yolo", max_frames=2))) == 2


def test_models_that_are_built_in_or_unknown_cannot_be_removed(models: Command) -> None:
    assert "built in" in models.refused("remove", "demo-detector")
    assert "no model nonesuch" in models.refused("remove", "nonesuch")
    assert "no model nonesuch" in models.refused("show", "nonesuch")


def test_pipelines_of_a_file_come_change_and_go(
    models: Command, client: Client, add_demo: Callable[..., str], tmp_path: Path
) -> None:
    add_demo("mine")
    first = load_card().labels[0]
    file = tmp_path / "pipelines.toml"
    file.write_text(
        f'[pipelines.few]\ndescription = "Few things"\ndetector = "mine"\nlabels = ["{first}"]\nscore_threshold = 0.4\n'
        "[pipelines.words]\ntext = true\ntext_threshold = 0.6\n"
    )
    models.done("apply", str(file), "--check")
    assert "few" not in {pipeline.id for pipeline in client.pipelines()}
    models.done("apply", str(file))
    rows = completed(client, client.submit(sample_path(), "few", frame_stride=10))
    everything = completed(client, client.submit(sample_path(), "mine", frame_stride=10))
    for few, every in zip(rows, everything, strict=True):
        wanted = [thing for thing in every.result.detections if thing.label == first and thing.confidence >= 0.4]
        assert list(few.result.detections) == wanted
    assert any(row.result.detections for row in rows)
    assert "few" in models.refused("remove", "mine")
    file.write_text("[pipelines.words]\ntext = true\n")
    models.done("apply", str(file))
    offered = {pipeline.id for pipeline in client.pipelines()}
    assert "words" in offered
    assert "few" not in offered
    models.done("remove", "mine")


def test_every_mistake_of_a_pipelines_file_is_told_at_once(models: Command, client: Client, tmp_path: Path) -> None:
    file, offered = tmp_path / "pipelines.toml", client.pipelines()
    file.write_text('[pipelines.a]\ndetector = "nonesuch"\n[pipelines.b]\ntxt = true\n[pipelines.yolo]\ntext = true\n')
    ran = models.run("apply", str(file))
    assert ran.returncode == 2
    for place in ("pipelines.a.detector", "pipelines.b.txt", "pipelines.yolo"):
        assert place in ran.stderr
    assert client.pipelines() == offered
