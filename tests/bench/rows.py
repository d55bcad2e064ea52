"""What a reader pays for a row of an ordinary chunk: validating it, and writing the validated row anew.

The ratio is why readers are given rows written anew, never the worker's own bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from pydantic import TypeAdapter

from vidette_core.domain.results import FrameRow

ROW = TypeAdapter(FrameRow)
ROWS, ROUNDS = 200, 50


def row(index: int) -> bytes:
    box = [12.5, 33.25, 100.75, 80.1]
    detection = {"label": "car", "class_id": 2, "confidence": 0.8312, "bbox": box}
    corners = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    line = {"text": "hello world", "confidence": 0.97, "polygon": corners}
    result = {"detections": [detection] * 5, "text": "hello world\nhello world", "timestamp_ms": index * 40.0}
    return json.dumps({"frame_index": index, "result": {**result, "lines": [line] * 2}}, separators=(",", ":")).encode()


def microseconds(work: Callable[[], object]) -> float:
    """CPU time for one row."""
    work()
    began = time.process_time()
    for _ in range(ROUNDS):
        work()
    return (time.process_time() - began) / ROUNDS / ROWS * 1e6


def main() -> None:
    lines = [row(index) for index in range(ROWS)]
    rows = [ROW.validate_json(line, strict=True) for line in lines]
    validate = microseconds(lambda: [ROW.validate_json(line, strict=True) for line in lines])
    write = microseconds(lambda: [ROW.dump_json(found) for found in rows])
    print(
        f"{len(lines[0])} bytes a row: validate {validate:.1f} µs, write {write:.1f} µs, ratio {write / validate:.2f}"
    )


if __name__ == "__main__":
    main()
