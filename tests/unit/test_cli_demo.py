"""The demo: what it draws and tells of a service's answers, and that it leaves alone what it did not start."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.support.scripted_service import (
    FACTS,
    JOB,
    RESULTS,
    STATUS,
    SUBMIT,
    as_json,
    as_lines,
    facts,
    frame,
    job,
    scripted_service,
)
from vidette import FrameResult
from vidette.exits import ExitCode
from vidette_local.demo import free_port
from vidette_local.demo_analysis import Demo, Stopped
from vidette_local.demo_pictures import annotate, colour_of
from vidette_models.demo.sample import CLIP_NAME, write_sample
from vidette_models.demo.video import read_rgb

ACCEPTED = as_json({"job_id": str(JOB)})
NO_SUCH_JOB = as_json({"detail": "Job not found"}, 404, Vidette_Error="not_found")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_sample(folder)
    return folder / CLIP_NAME


def make_demo(
    clip: Path, folder: Path, stopped: threading.Event | None = None
) -> tuple[Demo, io.StringIO, io.StringIO]:
    output, errors = io.StringIO(), io.StringIO()
    consoles = Console(file=output, width=100), Console(file=errors, width=100)
    return Demo(folder, 3, *consoles, stopped or threading.Event(), clip), output, errors


def test_a_picture_is_written_for_each_analysed_frame_from_that_very_frame(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "frame-00007.png").write_bytes(b"of an earlier demo")
    (tmp_path / "mine.txt").write_text("the user's own")
    demo, output, _ = make_demo(clip, tmp_path)
    rows = [frame(0), frame(34, "HARBOUR 2"), frame(68)]
    answers = {SUBMIT: [ACCEPTED], STATUS: [job("completed")], RESULTS: [as_lines(rows)], FACTS: [facts()]}
    with scripted_service(answers) as script:
        assert demo.run(script.url) is ExitCode.OK
    assert b'name="frame_stride"\r\n\r\n34\r\n' in script.requests[0][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "frame-00000.png",
        "frame-00034.png",
        "frame-00068.png",
        "mine.txt",
    ]
    expected = list(read_rgb(clip))[34]
    drawn = cv2.imread(str(tmp_path / "frame-00034.png"))
    assert drawn is not None
    # The lower right quarter is far from the one box, so the frame itself shows there, to the bit.
    assert np.array_equal(drawn[180:, 320:, ::-1], expected[180:, 320:])
    assert not np.array_equal(drawn[:180, :320, ::-1], expected[:180, :320])
    assert "3 frames analysed, 3 objects, text in 1 frames" in output.getvalue()
    assert "models: demo v3 (01234567)" in output.getvalue()
    assert str(tmp_path) in output.getvalue()


def test_a_failed_job_is_told_and_nothing_is_drawn(clip: Path, tmp_path: Path) -> None:
    demo, output, errors = make_demo(clip, tmp_path / "demo")
    failed = job("failed", error={"code": "pipeline_unavailable", "message": "The model ocr_det is not served."})
    with scripted_service({SUBMIT: [ACCEPTED], STATUS: [failed]}) as script:
        assert demo.run(script.url) is ExitCode.JOB_FAILED
    assert "pipeline_unavailable: The model ocr_det is not served." in errors.getvalue()
    assert output.getvalue() == ""
    assert not (tmp_path / "demo").exists()


def test_a_demo_that_is_told_to_end_does_not_wait_for_its_job(clip: Path, tmp_path: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    demo, _, _ = make_demo(clip, tmp_path, stopped)
    with scripted_service({SUBMIT: [ACCEPTED], STATUS: [job("running")]}) as script, pytest.raises(Stopped):
        demo.run(script.url)


def test_a_service_at_the_usual_address_is_used_and_no_stack_is_started(tmp_path: Path) -> None:
    failed = job("failed", error={"code": "internal", "message": "Enough of it."})
    asked = f"GET /video/status/{'00000000-0000-0000-0000-000000000000'}"
    with scripted_service({asked: [NO_SUCH_JOB], SUBMIT: [ACCEPTED], STATUS: [failed]}) as script:
        port = script.url.rpartition(":")[2]
        environment = {**os.environ, "VIDETTE_HOME": str(tmp_path / "home"), "VIDETTE_HTTP_PORT": port, "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "vidette.cli", "demo"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == ExitCode.JOB_FAILED, done.stderr
    assert f"using the service at {script.url}, and leaving it running" in done.stderr
    assert "internal: Enough of it." in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_taken_port_is_stepped_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        assert free_port(port) > port


def found(bbox: tuple[float, ...], label: str = "car", class_id: int = 0) -> dict[str, object]:
    return {"label": label, "class_id": class_id, "confidence": 0.9, "bbox": bbox}


def grey() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((360, 640, 3), 90, np.uint8)


def test_a_frame_with_nothing_in_it_is_left_as_it_is_and_the_given_one_always() -> None:
    frame_given = grey()
    assert np.array_equal(annotate(frame_given, FrameResult()), grey())
    annotate(frame_given, FrameResult.model_validate({"detections": [found((100, 100, 50, 50))]}))
    assert np.array_equal(frame_given, grey())


@pytest.mark.parametrize(
    "bbox",
    [(0, 0, 640, 360), (-50, -50, 20, 20), (630, 350, 40, 40), (200, 0, 30, 5), (0, 0, 0, 0), (1e300, -1e300, 5, 5)],
)
def test_boxes_at_and_beyond_the_edges_are_drawn_as_far_as_they_can_be(bbox: tuple[float, ...]) -> None:
    drawn = annotate(grey(), FrameResult.model_validate({"detections": [found(bbox)]}))
    assert drawn.shape == (360, 640, 3)
    assert not np.array_equal(drawn, grey()), "not even a plate was drawn"


def test_plates_of_objects_in_one_place_do_not_hide_one_another() -> None:
    def plate_pixels(*class_ids: int) -> list[int]:
        detections = [found((200, 150, 120, 120), "person", class_id) for class_id in class_ids]
        drawn = annotate(grey(), FrameResult.model_validate({"detections": detections}))
        inks = [colour_of(class_id) for class_id in class_ids]
        return sorted(int((drawn == np.array(ink, np.uint8)).all(axis=2).sum()) for ink in inks)

    alone = plate_pixels(1)[0]
    both = plate_pixels(1, 2)
    assert min(both) > 0.4 * alone
