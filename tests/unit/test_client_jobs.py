"""Cancelling, running to the end, and the list of pipelines, with both clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.both_clients import Connect
from tests.support.scripted_service import (
    CANCEL,
    JOB,
    PIPELINES,
    RESULTS,
    STATUS,
    SUBMIT,
    VERIFIED,
    VERIFY,
    Answer,
    as_json,
    as_lines,
    frame,
    job,
    scripted_service,
    verification,
)
from vidette import JobState, JobStatus, RetryPolicy, VidetteError
from vidette.errors import BadAnswer, Cancelled, InvalidVideo, JobFailed, JobOver, NotFound, StillRunning

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02)
ACCEPTED = as_json({"job_id": str(JOB)})
MODEL = {"name": "yolox_nano", "version": 1, "digest": "sha256:00"}
PIPELINE = {
    "id": "yolox_nano_ocr",
    "description": "Objects and text.",
    "detector": {"model": MODEL, "family": "yolox", "labels": ["person", "car"], "keep": ["car"]},
    "text": {"detection": MODEL, "recognition": MODEL, "threshold": 0.5},
    "origin": "file",
}


def failed(code: str, message: str = "It cannot be.") -> Answer:
    return job("failed", error={"code": code, "message": message})


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * 1000)
    return path


def test_a_job_is_cancelled_and_the_question_repeated_when_its_answer_was_lost(connect: Connect) -> None:
    whole = job("running", progress=0.5)
    lost = Answer(200, whole.body, whole.headers, cut=10)
    with scripted_service({CANCEL: [lost, whole]}) as script, connect(script.url, retries=QUICK) as client:
        assert client.cancel(JOB).status is JobState.RUNNING
    assert [key for key, _ in script.requests] == [CANCEL, CANCEL]


def test_a_verification_is_asked_for_followed_and_read(connect: Connect) -> None:
    answers = {
        f"{VERIFY}frames=50&seed=3": [ACCEPTED],
        STATUS: [job("pending"), job("completed", progress=1.0)],
        VERIFIED: [verification(different=1)],
    }
    seen: list[JobStatus] = []
    with scripted_service(answers) as script, connect(script.url, retries=QUICK) as client:
        found = client.verify(JOB, 50, 3, on_status=seen.append)
    assert (found.frames, found.identical, found.close, found.different) == (31, 29, 1, 1)
    assert not found.holds
    assert (found.differences[0].stored.text, found.differences[0].found.text) == ("stored", "found")
    assert [status.status for status in seen] == [JobState.PENDING, JobState.COMPLETED]


def test_a_verification_that_fails_says_why(connect: Connect) -> None:
    answers = {VERIFY: [ACCEPTED], STATUS: [failed("pipeline_unavailable")]}
    with (
        scripted_service(answers) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(JobFailed, match="It cannot be") as caught,
    ):
        client.verify(JOB)
    assert caught.value.code == "pipeline_unavailable"


@pytest.mark.parametrize(("status", "code", "expected"), [(409, "job_over", JobOver), (404, "not_found", NotFound)])
def test_a_job_that_is_over_or_unknown_cannot_be_cancelled(
    connect: Connect, status: int, code: str, expected: type[VidetteError]
) -> None:
    refused = as_json({"detail": "There is nothing to cancel."}, status, Vidette_Error=code)
    with (
        scripted_service({CANCEL: [refused]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(expected, match="nothing to cancel"),
    ):
        client.cancel(JOB)
    assert len(script.requests) == 1


def test_running_a_video_gives_its_rows_and_tells_of_both_halves(connect: Connect, clip: Path) -> None:
    sent: list[tuple[int, int]] = []
    seen: list[JobStatus] = []
    answers = {
        SUBMIT: [ACCEPTED],
        STATUS: [job("running", progress=0.5), job("completed", progress=1.0)],
        RESULTS: [as_lines([frame(0), frame(10)])],
    }
    with scripted_service(answers) as script, connect(script.url, retries=QUICK) as client:
        rows = client.run(
            clip, "yolo_ocr", 10, 2, lambda done, total: sent.append((done, total)), timeout=30, on_status=seen.append
        )
        assert [row.frame_index for row in rows] == [0, 10]
    assert sent[-1] == (1000, 1000)
    assert [status.progress for status in seen] == [0.5, 1.0]
    assert b'name="frame_stride"\r\n\r\n10\r\n' in script.requests[0][1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (failed("invalid_video"), InvalidVideo),
        (failed("cancelled"), Cancelled),
        (failed("a_code_of_next_year"), JobFailed),
        (job("failed"), JobFailed),
    ],
)
def test_running_a_video_that_fails_raises_the_class_of_its_error(
    connect: Connect, clip: Path, answer: Answer, expected: type[JobFailed]
) -> None:
    with (
        scripted_service({SUBMIT: [ACCEPTED], STATUS: [answer]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(JobFailed, match=f"The job {JOB} failed: ") as caught,
    ):
        client.run(clip, "yolo_ocr")
    assert type(caught.value) is expected
    assert caught.value.job_id == JOB
    assert expected.own_code in {None, caught.value.code}


def test_running_a_video_ends_at_its_time_limit(connect: Connect, clip: Path) -> None:
    with (
        scripted_service({SUBMIT: [ACCEPTED], STATUS: [job("running")]}) as script,
        connect(script.url) as client,
        pytest.raises(StillRunning),
    ):
        client.run(clip, "yolo_ocr", timeout=0.3)


def test_waiting_for_a_job_that_fails_is_no_error(connect: Connect) -> None:
    with scripted_service({STATUS: [failed("no_progress")]}) as script, connect(script.url) as client:
        assert client.wait(JOB).status is JobState.FAILED


def test_pipelines_are_read_with_what_a_newer_service_adds(connect: Connect) -> None:
    bare = {"id": "older"}
    with (
        scripted_service({PIPELINES: [as_json({"pipelines": [PIPELINE, bare]})]}) as script,
        connect(script.url) as client,
    ):
        found, older = client.pipelines()
    assert found.model_dump(mode="json", exclude_unset=True) == PIPELINE
    assert found.detector is not None
    assert found.detector.labels == ("person", "car")
    assert (older.id, older.detector, older.text) == ("older", None, None)


def test_something_else_at_the_address_has_no_pipelines(connect: Connect) -> None:
    with (
        scripted_service({PIPELINES: [as_json({"detail": []})]}) as script,
        connect(script.url) as client,
        pytest.raises(BadAnswer),
    ):
        client.pipelines()
