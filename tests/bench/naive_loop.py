"""The loop that people write when they need it by tomorrow: OpenCV, ONNX Runtime and rapidocr, frame after frame.

    .venv/bin/python -m tests.bench.naive_loop CLIP MODEL SIZE FRAMES

The same graphs as behind the pipeline `yolo_ocr`: `MODEL` is the detector as composed for Triton, and rapidocr's own wheel
has the text models that ours are made of. Its direction classifier is off, as ours has none. ONNX Runtime and OpenCV take as
many threads as they like. Prints frames a second, without the time that the models take to load.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from rapidocr import RapidOCR
from rapidocr.utils.output import RapidOCROutput


def square_of(picture: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """UINT8 [1,size,size,3] RGB, the picture in its middle on grey."""
    height, width = picture.shape[:2]
    scale = min(size / width, size / height)
    inner = cv2.resize(picture, (round(width * scale), round(height * scale)))
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    square = np.full((size, size, 3), 114, np.uint8)
    square[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return cv2.cvtColor(square, cv2.COLOR_BGR2RGB)[None].astype(np.uint8)


def main(clip: str, model: str, size: int, frames: int) -> None:
    detector, reader = ort.InferenceSession(model), RapidOCR(params={"Global.log_level": "error"})
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    capture = cv2.VideoCapture(clip)
    while len(rows) < frames:
        is_read, picture = capture.read()
        if not is_read:
            break
        boxes, scores, classes = detector.run(["boxes", "scores", "classes"], {"frames": square_of(picture, size)})
        kept = scores[0] >= 0.25
        found = reader(picture, use_cls=False)
        assert isinstance(found, RapidOCROutput)
        rows.append(
            {
                "frame": len(rows),
                "boxes": boxes[0][kept].tolist(),
                "classes": classes[0][kept].tolist(),
                "text": "\n".join(found.txts or ()),
            }
        )
    json.dumps(rows)
    print(len(rows) / (time.perf_counter() - began))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
