"""Draws the demo's clip again: `python -m vidette_models.demo.sample --out DIR`.

The clip ships with the package, so that a first run needs neither a camera nor a download, and so does its truth, so
that what came out can be held against what was drawn.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from vidette_models.demo.scenes import LABELS, SceneClip, SceneFrame
from vidette_models.demo.video import write_h264

CLIP_NAME: Final = "sample.mp4"
TRUTH_NAME: Final = "sample.json"
SEED: Final = 42
FRAMES: Final = 100
FPS: Final = 25


def sample_path() -> Path:
    """Where the clip lies in this installation."""
    return Path(__file__).with_name(CLIP_NAME)


def truth_path() -> Path:
    """Where the clip's truth lies in this installation."""
    return Path(__file__).with_name(TRUTH_NAME)


def _told(index: int, frame: SceneFrame) -> dict[str, Any]:
    boxes = ((x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in frame.truth.boxes.astype(int).tolist())
    pairs = zip(frame.truth.classes.tolist(), boxes, strict=True)
    return {"frame_index": index, "objects": [{"label": LABELS[kind], "bbox": list(box)} for kind, box in pairs]}


def sample_truth(clip: SceneClip) -> dict[str, Any]:
    """What is true of a clip: its captions, and each frame's objects with `bbox` as [x, y, width, height] in pixels."""
    return {
        "seed": clip.seed,
        "fps": FPS,
        "width": clip.width,
        "height": clip.height,
        "captions": [{"text": caption.text, "box": list(caption.box)} for caption in clip.captions],
        "frames": [_told(index, frame) for index, frame in enumerate(clip)],
    }


def write_sample(folder: Path, seed: int = SEED) -> None:
    """Writes the clip and its truth into `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = SceneClip(seed, FRAMES)
    write_h264(folder / CLIP_NAME, (frame.image for frame in clip), FPS)
    told = json.dumps(sample_truth(clip), separators=(",", ":")).replace('{"frame_index"', '\n{"frame_index"')
    (folder / TRUTH_NAME).write_text(told + "\n", encoding="utf-8")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Draw the demo's clip and its truth.")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {CLIP_NAME} and {TRUTH_NAME}")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the scene (default: %(default)s)")
    arguments = parser.parse_args()
    write_sample(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
