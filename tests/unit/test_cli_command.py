"""The `vidette` command as a shell meets it: exit codes, clean output streams, no stack when it is stopped."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.scripted_service import (
    CANCEL,
    FACTS,
    JOB,
    PIPELINES,
    RESULTS,
    STATUS,
    SUBMIT,
    VERIFIED,
    VERIFY,
    Answer,
    Script,
    as_json,
    as_lines,
    facts,
    frame,
    job,
    scripted_service,
    verification,
)
from vidette.exits import ExitCode

ACCEPTED = as_json({"job_id": str(JOB)})
COMPLETED = job("completed", progress=1.0)
FAILED = job("failed", error={"code": "invalid_video", "message": "No frame of the video decodes."})
UNKNOWN = as_json({"detail": "Job not found"}, 404, Vidette_Error="not_found")
OVER = as_json({"detail": "The job has ended already."}, 409, Vidette_Error="job_over")
UNFINISHED = as_json({"detail": "Job not completed"}, 404, Vidette_Error="not_completed")


def environment(url: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "VIDETTE_URL": url, "COLUMNS": "100", "NO_COLOR": "1", **(more or {})}


def vidette(url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidette.cli", *arguments]
    return subprocess.run(
        command, env=environment(url, more), capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0" * 200_000)
    return str(path)


def test_submit_prints_the_job_id_and_nothing_else(clip: str) -> None:
    with scripted_service({SUBMIT: [ACCEPTED]}) as script:
        done = vidette(script.url, "submit", clip, "--stride", "5")
    assert (done.returncode, done.stdout) == (ExitCode.OK, f"{JOB}\n")
    assert b'name="frame_stride"\r\n\r\n5\r\n' in script.requests[0][1]


def test_submit_and_wait_with_json_prints_the_final_status_alone(clip: str) -> None:
    turns = [job("pending"), job("running", progress=0.5), COMPLETED]
    with scripted_service({SUBMIT: [ACCEPTED], STATUS: turns}) as script:
        done = vidette(script.url, "submit", clip, "--wait", "--json")
    assert done.returncode == ExitCode.OK
    assert json.loads(done.stdout)["status"] == "completed"
    assert [f"job {JOB} {state}" in done.stderr for state in ("pending", "running", "completed")] == [True] * 3


def test_a_failed_job_says_why_and_exits_with_1(clip: str) -> None:
    with scripted_service({SUBMIT: [ACCEPTED], STATUS: [FAILED]}) as script:
        done = vidette(script.url, "submit", clip, "--wait")
    assert (done.returncode, done.stdout) == (ExitCode.JOB_FAILED, f"{JOB}\n")
    assert "invalid_video: No frame of the video decodes." in done.stderr


def test_bars_are_drawn_on_a_terminal_and_never_on_the_output_stream(clip: str) -> None:
    turns = [job("running", progress=0.25), job("running", progress=0.75), COMPLETED]
    with scripted_service({SUBMIT: [ACCEPTED], STATUS: turns}) as script:
        terminal, end = pty.openpty()
        running = subprocess.Popen(
            [sys.executable, "-m", "vidette.cli", "submit", clip, "--wait", "--json"],
            env=environment(script.url, {"TERM": "xterm"}),
            stdout=subprocess.PIPE,
            stderr=end,
        )
        os.close(end)
        shown = read_terminal(terminal)
        output = running.communicate(timeout=60)[0]
    assert "upload clip.mp4" in shown
    assert "75%" in shown
    assert json.loads(output)["status"] == "completed"


def read_terminal(terminal: int) -> str:
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(terminal)
    return b"".join(pieces).decode()


@pytest.mark.parametrize(
    ("answers", "arguments", "expected", "says"),
    [
        ({STATUS: [UNKNOWN]}, ["status", str(JOB)], ExitCode.NOT_FOUND, "Job not found"),
        ({}, ["status", "not-an-id"], ExitCode.NOT_FOUND, "Job not found"),
        ({FACTS: [UNFINISHED]}, ["results", str(JOB), "--json"], ExitCode.NOT_FOUND, "Job not completed"),
        ({RESULTS: [UNFINISHED]}, ["results", str(JOB)], ExitCode.NOT_FOUND, "Job not completed"),
        ({STATUS: [FAILED]}, ["status", str(JOB)], ExitCode.OK, ""),
        ({STATUS: [as_json({"detail": "No."}, 500)]}, ["status", str(JOB)], ExitCode.UNAVAILABLE, "No."),
        ({}, ["status", str(JOB)], ExitCode.UNAVAILABLE, "not as a Vidette service does"),
        ({CANCEL: [OVER]}, ["cancel", str(JOB)], ExitCode.REFUSED, "has ended already"),
        ({f"{VERIFY}frames=30": [UNFINISHED]}, ["verify", str(JOB)], ExitCode.NOT_FOUND, "Job not completed"),
        ({CANCEL: [UNKNOWN]}, ["cancel", str(JOB)], ExitCode.NOT_FOUND, "Job not found"),
        ({}, ["results", str(JOB), "--json", "--ndjson"], ExitCode.REFUSED, "exclude each other"),
        ({}, ["submit", "/nowhere/at/all.mp4"], ExitCode.REFUSED, "does not exist"),
        ({}, ["submit", "/"], ExitCode.REFUSED, "/ is a folder. Only a regular file can be sent"),
        ({}, ["submit", os.devnull], ExitCode.REFUSED, f"{os.devnull} is a device or socket."),
        ({}, ["submit", os.devnull, "--stride", "0"], ExitCode.REFUSED, "Invalid value for '--stride'"),
    ],
)
def test_every_end_has_its_exit_code_and_its_sentence(
    answers: dict[str, list[Answer]], arguments: list[str], expected: ExitCode, says: str
) -> None:
    with scripted_service(answers) as script:
        done = vidette(script.url, *arguments)
    assert done.returncode == expected
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    if expected is not ExitCode.OK:
        assert done.stdout == ""


def test_a_refused_upload_repeats_the_services_sentence(clip: str) -> None:
    refusal = as_json({"detail": "Invalid file format. Must be MP4, MOV, or AVI."}, 400, Vidette_Error="invalid_format")
    with scripted_service({SUBMIT: [refusal]}) as script:
        done = vidette(script.url, "submit", clip)
    assert (done.returncode, done.stdout) == (ExitCode.REFUSED, "")
    assert done.stderr == "error Invalid file format. Must be MP4, MOV, or AVI.\n"


def test_nothing_listening_is_said_in_one_line_with_the_remedy(clip: str) -> None:
    with scripted_service({}) as script:
        url = script.url
    done = vidette(url, "submit", clip)
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr == f"error Nothing answers at {url}. Is it running? Start it with: make up\n"


def test_the_option_wins_over_the_environment() -> None:
    with scripted_service({STATUS: [COMPLETED]}) as script:
        done = vidette("http://127.0.0.1:9", "status", str(JOB), "--json", "--url", script.url)
    assert json.loads(done.stdout)["job_id"] == str(JOB)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1/", "http://[::1", "not an address"])
def test_an_address_that_is_none_is_said_to_be_none(url: str) -> None:
    done = vidette(url, "status", str(JOB))
    assert done.returncode == ExitCode.REFUSED
    assert "is no address of a service" in done.stderr
    assert "Traceback" not in done.stderr


def test_results_show_frames_times_objects_and_text_in_a_table() -> None:
    rows = as_lines([frame(0, "EXIT 27\nHARBOUR"), frame(25, "", "drone")])
    with scripted_service({RESULTS: [rows]}) as script:
        done = vidette(script.url, "results", str(JOB))
    assert done.returncode == ExitCode.OK
    first, second = [line.split() for line in done.stdout.splitlines() if "91" in line]
    assert first == ["0", "0:00.000", "car", "91%", "EXIT", "27", "·", "HARBOUR"]
    assert second[:4] == ["25", "0:01.000", "drone", "91%"]


def test_text_from_a_video_cannot_steer_the_terminal() -> None:
    with scripted_service({RESULTS: [as_lines([frame(0, "[red]x[/] \x1b]0;owned\x07 \u202e")])]}) as script:
        done = vidette(script.url, "results", str(JOB))
    assert "[red]x[/]" in done.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)


def test_results_as_json_are_one_document_of_the_services_shape() -> None:
    rows = [frame(index, "Straße \u2028 出口") for index in range(3)]
    with scripted_service({RESULTS: [as_lines(rows)], FACTS: [facts(summary={"frames": 3})]}) as script:
        done = vidette(script.url, "results", str(JOB), "--json", LC_ALL="C", PYTHONUTF8="0")
    document = json.loads(done.stdout)
    assert list(document) == ["job_id", "results", "created_at", "updated_at", "models", "summary"]
    assert document["models"][0]["version"] == 3
    assert document["results"] == rows


def test_an_empty_result_is_an_empty_list() -> None:
    with scripted_service({RESULTS: [as_lines([])], FACTS: [facts()]}) as script:
        done = vidette(script.url, "results", str(JOB), "--json")
    assert json.loads(done.stdout)["results"] == []


def test_results_as_lines_are_passed_on_as_they_came_up_to_the_limit() -> None:
    answer = as_lines([frame(index) for index in range(9)])
    with scripted_service({RESULTS: [answer]}) as script:
        everything = vidette(script.url, "results", str(JOB), "--ndjson")
        some = vidette(script.url, "results", str(JOB), "--ndjson", "--limit", "4")
    assert everything.stdout.encode() == answer.body
    assert some.stdout.splitlines() == everything.stdout.splitlines()[:4]


def test_a_long_table_is_cut_and_says_so_on_the_error_stream() -> None:
    with scripted_service({RESULTS: [as_lines([frame(index) for index in range(150)])]}) as script:
        done = vidette(script.url, "results", str(JOB))
    assert len([line for line in done.stdout.splitlines() if "car" in line]) == 100
    assert "There are more frames" in done.stderr


def test_a_reader_that_has_enough_is_no_error() -> None:
    rows = as_lines([frame(index, "x" * 200) for index in range(5000)])
    with scripted_service({RESULTS: [rows]}) as script:
        running = subprocess.Popen(
            [sys.executable, "-m", "vidette.cli", "results", str(JOB), "--ndjson"],
            env=environment(script.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        complaint = running.stderr.read()
        running.stderr.close()
        assert running.wait(60) == ExitCode.OK
    assert complaint == b""


@pytest.fixture
def interrupts_are_heard() -> Iterator[None]:
    """Also where a shell runs the tests in the background: it has them ignore Ctrl-C, and their children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_are_heard")
def test_ctrl_c_ends_a_wait_with_one_line_and_130(clip: str) -> None:
    with scripted_service({SUBMIT: [ACCEPTED], STATUS: [job("running", progress=0.1)]}) as script:
        running = subprocess.Popen(
            [sys.executable, "-m", "vidette.cli", "submit", clip, "--wait"],
            env=environment(script.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_status_request(script)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    assert running.returncode == ExitCode.INTERRUPTED
    assert output == f"{JOB}\n"
    assert errors.splitlines()[-2:] == [f"The job may go on. Ask for it with: vidette status {JOB}", "interrupted"]
    assert "Traceback" not in errors


def wait_for_status_request(script: Script) -> None:
    deadline = time.monotonic() + 30
    while STATUS not in [key for key, _ in script.requests]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)


def test_a_cancelled_job_is_shown_as_it_stands() -> None:
    with scripted_service({CANCEL: [job("running", progress=0.25)]}) as script:
        shown = vidette(script.url, "cancel", str(JOB))
        document = vidette(script.url, "cancel", str(JOB), "--json")
    assert shown.returncode == ExitCode.OK
    assert "running" in shown.stdout
    assert json.loads(document.stdout)["job_id"] == str(JOB)


@pytest.mark.parametrize(("different", "code"), [(0, ExitCode.OK), (2, ExitCode.JOB_FAILED)])
def test_a_verification_that_finds_differences_shows_them_and_fails(different: int, code: ExitCode) -> None:
    answers = {
        f"{VERIFY}frames=30&seed=5": [ACCEPTED],
        STATUS: [COMPLETED],
        VERIFIED: [verification(different=different)],
    }
    with scripted_service(answers) as script:
        shown = vidette(script.url, "verify", str(JOB), "--seed", "5")
        document = vidette(script.url, "verify", str(JOB), "--seed", "5", "--json")
    assert (shown.returncode, document.returncode) == (code, code)
    assert json.loads(document.stdout)["different"] == different
    assert ("frame 7" in shown.stdout) == ("otherwise than they are stored" in shown.stderr) == (different > 0)


def test_pipelines_are_listed_in_a_table_and_as_the_service_has_them() -> None:
    model = {"name": "yolox_nano", "version": 3, "digest": "sha256:00"}
    detector = {"model": model, "family": "yolox", "labels": ["person", "car"], "keep": ["car"]}
    document = {"pipelines": [{"id": "yolox_nano", "description": "[b]Objects[/]", "detector": detector, "text": None}]}
    with scripted_service({PIPELINES: [as_json(document)]}) as script:
        shown = vidette(script.url, "pipelines")
        given = vidette(script.url, "pipelines", "--json")
    assert (shown.returncode, given.returncode) == (ExitCode.OK, ExitCode.OK)
    assert shown.stdout.split()[-6:] == ["yolox_nano", "yolox_nano", "3", "2", "-", "[b]Objects[/]"]
    assert json.loads(given.stdout) == document


def test_help_lists_every_exit_code() -> None:
    done = vidette("http://127.0.0.1:9", "submit", "--help")
    told = " ".join(done.stdout.split())
    assert all(f"{code.value} {code.meaning}" in told for code in ExitCode)


def test_help_names_no_value_for_flags() -> None:
    told = vidette("http://127.0.0.1:9", "submit", "--help").stdout
    assert "--wait" in told
    assert "<bool>" not in told
    assert "<bool>" not in vidette("http://127.0.0.1:9", "--help").stdout


def test_the_version_is_printed_and_nothing_else() -> None:
    done = vidette("http://127.0.0.1:9", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.OK, f"vidette {version('vidette')}\n", "")
