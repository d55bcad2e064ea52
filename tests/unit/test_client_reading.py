"""Status, waiting and results: what the client bears of a service, and what it says when it cannot."""

from __future__ import annotations

import datetime
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime

import pytest

from tests.support.scripted_service import (
    JOB,
    RESULTS,
    STATUS,
    Answer,
    as_json,
    as_lines,
    frame,
    job,
    scripted_service,
)
from vidette import Client, ClientCode, JobState, JobStatus, RetryPolicy, Timeouts, VidetteError
from vidette.errors import is_loopback
from vidette.retry import read_retry_after

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02, longest_asked=0.3)
BUSY = as_json({"detail": "The database does not answer."}, 503, Vidette_Error="database_unavailable")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_status_is_read_with_its_error_and_with_fields_of_a_newer_service() -> None:
    failed = job("failed", error={"code": "invalid_video", "message": "No frame decodes."}, priority=7)
    with scripted_service({STATUS: [failed]}) as script, Client(script.url) as client:
        status = client.status(JOB)
    assert status.status is JobState.FAILED
    assert status.error is not None
    assert status.error.code == "invalid_video"
    assert status.model_dump(mode="json", exclude_unset=True)["priority"] == 7


def test_a_service_that_is_busy_for_a_moment_is_asked_again() -> None:
    with (
        scripted_service({STATUS: [BUSY, BUSY, job("running")]}) as script,
        Client(script.url, retries=QUICK) as client,
    ):
        assert client.status(JOB).status is JobState.RUNNING
    assert len(script.requests) == 3


def test_a_service_that_stays_busy_is_given_up_on_after_the_allowed_attempts() -> None:
    with (
        scripted_service({STATUS: [BUSY]}) as script,
        Client(script.url, retries=QUICK) as client,
        pytest.raises(VidetteError, match="The database does not answer") as caught,
    ):
        client.status(JOB)
    assert (caught.value.status_code, caught.value.code) == (503, "database_unavailable")
    assert len(script.requests) == 3


def test_retry_after_is_honoured_within_bounds() -> None:
    asked = Answer(503, BUSY.body, {**BUSY.headers, "Retry-After": "3600"})
    with scripted_service({STATUS: [asked, job("running")]}) as script, Client(script.url, retries=QUICK) as client:
        started = time.monotonic()
        client.status(JOB)
        took = time.monotonic() - started
    assert 0.3 <= took < 5


def test_retry_after_may_be_a_date_and_may_be_nonsense() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
    by_date = read_retry_after({"retry-after": format_datetime(soon, usegmt=True)})
    assert by_date is not None
    assert 50 < by_date <= 60
    assert read_retry_after({"retry-after": "-5"}) == 0
    assert [read_retry_after({"retry-after": text}) for text in ("", "soon", "nan", "inf")] == [None] * 4


def test_the_delays_double_up_to_the_longest_and_then_end() -> None:
    policy = RetryPolicy(attempts=6, first=0.2, longest=1.0)
    assert [policy.delay(failures, None) for failures in range(1, 7)] == [0.2, 0.4, 0.8, 1.0, 1.0, None]


def test_a_refused_connection_says_how_to_start_the_service() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", retries=QUICK) as client, pytest.raises(VidetteError) as caught:
        client.status(JOB)
    assert (caught.value.status_code, caught.value.code) == (None, ClientCode.UNREACHABLE)
    assert "Is it running? Start it with: make up" in caught.value.detail


def test_an_unknown_job_is_not_asked_for_again() -> None:
    unknown = as_json({"detail": "Job not found"}, 404, Vidette_Error="not_found")
    with (
        scripted_service({STATUS: [unknown]}) as script,
        Client(script.url, retries=QUICK) as client,
        pytest.raises(VidetteError, match="Job not found"),
    ):
        client.status(JOB)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>hello</html>", {"Content-Type": "text/html"}),
        Answer(404, b"<html>no such page</html>", {"Content-Type": "text/html"}),
        Answer(200, b'{"status": "sleeping"}', {"Content-Type": "application/json"}),
    ],
)
def test_something_else_at_the_address_is_called_what_it_is(answer: Answer) -> None:
    with (
        scripted_service({STATUS: [answer]}) as script,
        Client(script.url, retries=QUICK) as client,
        pytest.raises(VidetteError, match="as a Vidette service does") as caught,
    ):
        client.status(JOB)
    assert caught.value.code == ClientCode.BAD_ANSWER


def test_a_redirect_says_where_to() -> None:
    moved = Answer(308, b"", {"Location": f"https://vidette.example/video/status/{JOB}"})
    with (
        scripted_service({STATUS: [moved]}) as script,
        Client(script.url, retries=QUICK) as client,
        pytest.raises(VidetteError, match=r"redirects to https://vidette\.example\. Use that"),
    ):
        client.status(JOB)


def test_waiting_reports_every_status_and_ends_with_the_final_one() -> None:
    seen: list[JobStatus] = []
    turns = [job("pending"), job("running", progress=0.5), BUSY, job("completed", progress=1.0)]
    with scripted_service({STATUS: turns}) as script, Client(script.url, retries=QUICK) as client:
        final = client.wait(JOB, timeout=20, on_status=seen.append)
    assert [status.status for status in seen] == [JobState.PENDING, JobState.RUNNING, JobState.COMPLETED]
    assert final == seen[-1]


def test_waiting_outlives_a_service_that_is_away_for_longer_than_the_retries() -> None:
    turns = [job("running"), *[BUSY] * 4, job("completed")]
    with (
        scripted_service({STATUS: turns}) as script,
        Client(script.url, Timeouts(outage=20), RetryPolicy(attempts=1)) as client,
    ):
        assert client.wait(JOB, timeout=30).status is JobState.COMPLETED


def test_waiting_ends_with_an_error_when_the_service_stays_away() -> None:
    with (
        scripted_service({STATUS: [job("running"), BUSY]}) as script,
        Client(script.url, Timeouts(outage=0.3), QUICK) as client,
        pytest.raises(VidetteError) as caught,
    ):
        client.wait(JOB, timeout=30)
    assert caught.value.status_code == 503


def test_waiting_ends_at_its_time_limit_and_says_that_the_job_goes_on() -> None:
    with (
        scripted_service({STATUS: [job("running")]}) as script,
        Client(script.url) as client,
        pytest.raises(VidetteError, match="It goes on") as caught,
    ):
        client.wait(JOB, timeout=0.5)
    assert caught.value.code == ClientCode.TIMED_OUT


def test_rows_are_split_at_line_feeds_only() -> None:
    texts = ["EXIT", "one\u2028two\u0085three\x0bfour", "TAXI"]
    rows = as_lines([frame(index, text) for index, text in enumerate(texts)])
    with scripted_service({RESULTS: [rows]}) as script, Client(script.url) as client:
        assert [row.result.text for row in client.results(JOB)] == texts


def test_results_that_break_off_are_an_error_and_never_a_shorter_result() -> None:
    whole = as_lines([frame(index) for index in range(50)])
    cut = Answer(200, whole.body, whole.headers, cut=len(whole.body) // 2)
    read: list[int] = []
    with (
        scripted_service({RESULTS: [cut]}) as script,
        Client(script.url) as client,
        pytest.raises(VidetteError, match="lost before the answer was complete"),
    ):
        read.extend(row.frame_index for row in client.results(JOB))
    assert read == list(range(len(read)))
    assert len(read) < 50


def test_results_are_handed_on_while_the_answer_is_still_under_way() -> None:
    body = as_lines([frame(0), frame(1)]).body
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client,
    ):
        rows = client.results(JOB)
        listener.settimeout(10)

        def answer_half() -> socket.socket:
            connection, _ = listener.accept()
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body[: len(body) // 2 + 10])
            return connection

        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(answer_half)
            assert next(rows).frame_index == 0
            with served.result(10) as connection:
                connection.sendall(body[len(body) // 2 + 10 :])
                assert [row.frame_index for row in rows] == [1]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:8000/", True),
        ("http://LOCALHOST.:8000", True),
        ("http://vidette.localhost", True),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.org", False),
        ("not an address", False),
    ],
)
def test_addresses_of_this_machine_are_told_from_others(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
