"""A model and a video that nobody here made. They are not part of the repository: they may lie beside it, in `../shared/data`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from tests.support.clips import write_clip
from tests.support.detectors import LABELS
from tests.support.exports import small_yolox

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class YoloxCase:
    """A video, a YOLOX export and what `--labels` is to be for it; every `stride`-th frame is enough."""

    video: Path
    exported: Path
    labels: str
    stride: int


def yolox_case(folder: Path) -> YoloxCase:
    """Bottles on a belt and YOLOX-nano. Where they are not at hand, that is said, and what is made in `folder` stands in."""
    video, exported = FOLDER / "bottle-detection.mp4", FOLDER / "yolox_nano.onnx"
    if video.is_file() and exported.is_file():
        return YoloxCase(video, exported, "coco", 8)
    warnings.warn("../shared/data is not there: held on a drawn clip and a small network only", stacklevel=1)
    clip, model, labels = folder / "drawn.mp4", folder / "small_yolox.onnx", folder / "labels.txt"
    write_clip(clip, "mp4_bframes", 40)
    model.write_bytes(small_yolox())
    labels.write_text("\n".join(LABELS))
    return YoloxCase(clip, model, str(labels), 1)
