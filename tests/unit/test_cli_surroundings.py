"""What the `vidette` command does where its surroundings are odd: file names, pipes, proxies, and errors of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted_service import JOB, STATUS, SUBMIT, as_json, job, scripted_service
from vidette.exits import ExitCode


def run(url: str, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VIDETTE_URL": url, "COLUMNS": "100", "NO_COLOR": "1", **more}
    arguments = [sys.executable, *command]
    return subprocess.run(
        arguments, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )


def vidette(url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run(url, "-m", "vidette.cli", *arguments, **more)


def test_a_pipe_is_refused_at_once_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "clip.mp4"
    os.mkfifo(pipe)
    done = vidette("http://127.0.0.1:9", "submit", str(pipe))
    assert done.returncode == ExitCode.REFUSED
    assert done.stderr == f"error {pipe} is a pipe. Only a regular file can be sent: save the video in one.\n"


def test_a_file_name_that_is_no_utf_8_is_sent_with_replacement_characters(tmp_path: Path) -> None:
    clip = os.fsencode(tmp_path) + b"/\xff\xfe.mp4"
    Path(os.fsdecode(clip)).write_bytes(b"\0" * 1000)
    with scripted_service({SUBMIT: [as_json({"job_id": str(JOB)})]}) as script:
        done = vidette(script.url, "submit", os.fsdecode(clip))
    assert (done.returncode, done.stdout) == (ExitCode.OK, f"{JOB}\n")
    assert 'filename="\ufffd\ufffd.mp4"'.encode() in script.requests[0][1]


UNFORESEEN = """
from vidette.cli import app, main
@app.command()
def stumble() -> None:
    raise RuntimeError("two\\nlines \\x1b[31m")
main()
"""


@pytest.mark.parametrize(("debug", "tracebacks"), [("", 0), ("0", 0), ("1", 1)])
def test_an_error_that_nobody_foresaw_is_one_line_and_a_code_of_its_own(debug: str, tracebacks: int) -> None:
    done = run("http://127.0.0.1:9", "-c", UNFORESEEN, "stumble", VIDETTE_DEBUG=debug)
    assert (done.returncode, done.stdout) == (ExitCode.UNFORESEEN, "")
    said = "error This should not have happened: RuntimeError: two lines \ufffd[31m (VIDETTE_DEBUG=1 shows where)"
    assert done.stderr.splitlines()[-1] == said
    assert done.stderr.count("Traceback") == tracebacks
    assert tracebacks or len(done.stderr.splitlines()) == 1


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine() -> None:
    with scripted_service({STATUS: [job("completed")]}) as script:
        done = vidette(script.url, "status", str(JOB), "--json", http_proxy="http://127.0.0.1:9", no_proxy="")
    assert json.loads(done.stdout)["status"] == "completed"
