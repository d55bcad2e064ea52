"""A user's detector through our graph, letterbox and worker finds the boxes that plain ONNX Runtime finds, frame for frame.

The reference here shares nothing with the package but the exported file: a letterbox after YOLOX' own `preproc`, the export run
as it came, decoding and greedy suppression in numpy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from tests.support.clips import write_clip
from tests.support.detectors import LABELS
from tests.support.exports import small_yolox
from tests.support.limits import LIMITS
from vidette_core.domain.containers import SNIFF_BYTES, sniff
from vidette_core.domain.pipelines import Detector
from vidette_core.domain.results import Detection
from vidette_core.domain.sampling import Sampling
from vidette_core.testing.onnx_inference import OnnxInference
from vidette_frame_worker.detection import ObjectDetector
from vidette_frame_worker.video import LocalFile, Video
from vidette_models.builtin import serve_detector
from vidette_models.compose import compose_detector
from vidette_models.labels import labels_named
from vidette_models.repository import Repository

FOLDERS = (Path(__file__).parents[1] / "data", Path(__file__).parents[3] / "shared" / "data")
SCORE, IOU, SHARE = 0.25, 0.45, 1e-3
"""`SHARE` of the picture's width and height is how far a box may be off."""
Image = NDArray[np.uint8]
Found = tuple[int, float, tuple[float, ...]]
"""Class, score, and x1, y1, x2, y2 in pixels of the frame."""


@dataclass(frozen=True)
class Material:
    """A video, a YOLOX export and its labels, and how many frames the video has."""

    video: Path
    exported: bytes
    labels: tuple[str, ...]
    frames: int


class Reference:
    """YOLOX by its authors' description, over plain ONNX Runtime."""

    def __init__(self, exported: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        self._session = ort.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
        self._side = int(self._session.get_inputs()[0].shape[2])
        grids = [
            (column, row, stride)
            for stride in (8, 16, 32)
            for row in range(self._side // stride)
            for column in range(self._side // stride)
        ]
        self._cells = np.array(grids, np.float64)

    def find(self, image: Image) -> list[Found]:
        ratio = min(self._side / image.shape[0], self._side / image.shape[1])
        size = (int(image.shape[1] * ratio), int(image.shape[0] * ratio))
        square = np.full((self._side, self._side, 3), 114, np.uint8)
        square[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        planes = square[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        head = self._session.run(None, {"images": planes})[0][0].astype(np.float64)
        centre = (head[:, :2] + self._cells[:, :2]) * self._cells[:, 2:]
        half = np.exp(head[:, 2:4]) * self._cells[:, 2:] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1) / ratio
        scores = head[:, 4:5] * head[:, 5:]
        kept = greedy(boxes, scores.max(axis=1), scores.argmax(axis=1))
        height, width = image.shape[:2]
        corners = np.clip(boxes, 0, [width, height, width, height])
        return [(int(scores[at].argmax()), float(scores[at].max()), tuple(corners[at].tolist())) for at in kept]


def greedy(boxes: NDArray[np.float64], scores: NDArray[np.float64], classes: NDArray[np.int64]) -> list[int]:
    """Which boxes are left, best first, at most a hundred."""
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable").tolist():
        if scores[candidate] <= SCORE or len(kept) == 100:
            break
        rivals = [other for other in kept if classes[other] == classes[candidate]]
        if all(overlap(boxes[candidate], boxes[other]) <= IOU for other in rivals):
            kept.append(candidate)
    return kept


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union."""
    shared = float(np.prod(np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


def in_corners(detection: Detection) -> Found:
    left, top, width, height = detection.bbox
    return detection.class_id, detection.confidence, (left, top, left + width, top + height)


def differences(found: list[Found], expected: list[Found], width: int, height: int) -> list[str]:
    """What is in one and not in the other. A score that one rounding may carry over the threshold may be in either."""
    left = list(found)
    problems = []
    for number, score, corners in expected:
        near = [
            other
            for other in left
            if other[0] == number
            and abs(other[1] - score) <= SHARE
            and np.all(np.abs(np.subtract(other[2], corners)) <= np.array([width, height] * 2) * SHARE)
        ]
        if near:
            left.remove(near[0])
        elif score > SCORE + 1e-4:
            problems.append(f"missing {number} {score:.4f} {corners}")
    return problems + [f"too much {other}" for other in left if other[1] > SCORE + 1e-4]


def worker_detector(folder: Path, material: Material) -> tuple[Detector, ObjectDetector]:
    composed = compose_detector(material.exported, "yolox", material.labels, score_threshold=SCORE, iou_threshold=IOU)
    repository = Repository(folder)
    with repository.locked():
        detector = serve_detector(repository, "yolox", composed)
    return detector, ObjectDetector(detector, OnnxInference(folder))


def compare(folder: Path, material: Material) -> int:
    """Hold every frame of the video against the reference, and return how many boxes there were."""
    _, worker = worker_detector(folder, material)
    reference = Reference(material.exported)
    container = sniff(material.video.read_bytes()[:SNIFF_BYTES])
    assert container is not None
    frames = boxes = 0
    for frame in Video(LocalFile(material.video), container, LIMITS).frames(Sampling()):
        assert frame.image is not None
        height, width = frame.image.shape[:2]
        expected = reference.find(frame.image)
        found = [in_corners(detection) for detection in worker.detect(frame.image)]
        assert differences(found, expected, width, height) == [], f"frame {frame.frame_index}"
        assert frame.frame_index == frames
        frames, boxes = frames + 1, boxes + len(expected)
    assert frames == material.frames
    return boxes


@pytest.fixture
def made_up(tmp_path: Path) -> Material:
    """A drawn clip and a network of three convolutions."""
    clip = tmp_path / "drawn.mp4"
    return Material(clip, small_yolox(), LABELS, len(write_clip(clip, "mp4_bframes", 40)))


@pytest.fixture
def real(made_up: Material) -> Material:
    """Bottles on a belt and YOLOX-nano. They are nobody's here to give away: where they are not at hand, that is said, and the
    drawn clip stands in for them."""
    names = ("bottle-detection.mp4", "yolox_nano.onnx")
    folder = next((folder for folder in FOLDERS if all((folder / name).is_file() for name in names)), None)
    if folder is None:
        warnings.warn(f"{' and '.join(names)} are in none of {FOLDERS}: held on a drawn clip only", stacklevel=1)
        return made_up
    return Material(folder / names[0], (folder / names[1]).read_bytes(), labels_named("coco"), 1189)


def test_boxes_on_a_drawn_clip_equal_those_of_plain_onnx_runtime(tmp_path: Path, made_up: Material) -> None:
    assert compare(tmp_path / "repository", made_up) > 100


@pytest.mark.timeout(600)
def test_boxes_on_a_real_video_equal_those_of_plain_onnx_runtime(tmp_path: Path, real: Material) -> None:
    assert compare(tmp_path / "repository", real) > 100
