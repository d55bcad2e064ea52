"""The two measurements of the model card: drawn stills, and clips that went through H.264 and back.

`python -m vidette_models.demo.proof` makes them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from vidette_models.demo.card import detector_path
from vidette_models.demo.evaluation import Accuracy, Predictions, accuracy
from vidette_models.demo.pictures import degrade, draw_still
from vidette_models.demo.runner import DemoRunner
from vidette_models.demo.scenes import SceneClip, Truth
from vidette_models.demo.video import read_rgb, write_h264

CLIP_SEEDS: Final = range(7, 13)
"""Held out: training draws from pairs of seed and step, which no single seed repeats."""
_STILL_SEED: Final = 1_000_003


def measure_stills(path: Path, pictures: int = 300) -> Accuracy:
    """Accuracy on degraded stills of the kind training saw, at 640x360, none of which it saw."""
    runner, rng = DemoRunner(path), np.random.default_rng(_STILL_SEED)
    found: list[Predictions] = []
    truths: list[Truth] = []
    for _ in range(pictures):
        picture, truth = draw_still(rng, 360, 640)
        found.append(runner.detect(degrade(rng, picture)))
        truths.append(truth)
    return accuracy(found, truths)


def measure_clips(path: Path, folder: Path, seeds: Iterable[int] = CLIP_SEEDS, frames: int = 25) -> Accuracy:
    """Accuracy on 640x360 clips written to `folder` as H.264 (CRF 24) and decoded again."""
    runner = DemoRunner(path)
    found: list[Predictions] = []
    truths: list[Truth] = []
    for seed in seeds:
        film = folder / f"clip-{seed}.mp4"
        scenes = list(SceneClip(seed, frames))
        write_h264(film, (scene.image for scene in scenes))
        found.extend(runner.detect(picture) for picture in read_rgb(film))
        truths.extend(scene.truth for scene in scenes)
    return accuracy(found, truths)


def measure(path: Path) -> tuple[Accuracy, Accuracy]:
    """Both measurements of the model card: stills, clips."""
    with TemporaryDirectory(prefix="vidette-demo-") as folder:
        return measure_stills(path), measure_clips(path, Path(folder))


if __name__ == "__main__":
    for what, measured in zip(("stills", "clips"), measure(detector_path()), strict=True):
        print(f"{what}: {measured.pictures} pictures, mAP@0.5 {measured.map50:.4f}, mAP@0.75 {measured.map75:.4f}")
