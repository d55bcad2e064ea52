"""Status and waiting: what both clients bear of a service, and what they say when they cannot."""

from __future__ import annotations

import time

import pytest

from tests.support.both_clients import Connect
from tests.support.scripted_service import JOB, STATUS, Answer, as_json, job, scripted_service
from tests.support.stacks import free_port
from vidette import ClientCode, JobState, JobStatus, RetryPolicy, Timeouts, VidetteError
from vidette.errors import DatabaseUnavailable, NotFound, ServiceUnavailable, StillRunning

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02, longest_asked=0.3)
BUSY = as_json({"detail": "The database does not answer."}, 503, Vidette_Error="database_unavailable")


def test_a_status_is_read_with_its_error_and_with_fields_of_a_newer_service(connect: Connect) -> None:
    failed = job("failed", error={"code": "invalid_video", "message": "No frame decodes."}, priority=7)
    with scripted_service({STATUS: [failed]}) as script, connect(script.url) as client:
        status = client.status(JOB)
    assert status.status is JobState.FAILED
    assert status.error is not None
    assert status.error.code == "invalid_video"
    assert status.model_dump(mode="json", exclude_unset=True)["priority"] == 7


def test_a_service_that_is_busy_for_a_moment_is_asked_again(connect: Connect) -> None:
    with (
        scripted_service({STATUS: [BUSY, BUSY, job("running")]}) as script,
        connect(script.url, retries=QUICK) as client,
    ):
        assert client.status(JOB).status is JobState.RUNNING
    assert len(script.requests) == 3


def test_a_service_that_stays_busy_is_given_up_on_after_the_allowed_attempts(connect: Connect) -> None:
    with (
        scripted_service({STATUS: [BUSY]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(DatabaseUnavailable, match="The database does not answer") as caught,
    ):
        client.status(JOB)
    assert (caught.value.status_code, caught.value.code) == (503, "database_unavailable")
    assert len(script.requests) == 3


def test_retry_after_is_honoured_within_bounds(connect: Connect) -> None:
    asked = Answer(503, BUSY.body, {**BUSY.headers, "Retry-After": "3600"})
    with scripted_service({STATUS: [asked, job("running")]}) as script, connect(script.url, retries=QUICK) as client:
        started = time.monotonic()
        client.status(JOB)
        took = time.monotonic() - started
    assert 0.3 <= took < 5


def test_a_refused_connection_says_how_to_start_the_service(connect: Connect) -> None:
    with connect(f"http://127.0.0.1:{free_port()}", retries=QUICK) as client, pytest.raises(VidetteError) as caught:
        client.status(JOB)
    assert (caught.value.status_code, caught.value.code) == (None, ClientCode.UNREACHABLE)
    assert "Is it running? Start it with: make up" in caught.value.detail


def test_an_unknown_job_is_not_asked_for_again(connect: Connect) -> None:
    unknown = as_json({"detail": "Job not found"}, 404, Vidette_Error="not_found")
    with (
        scripted_service({STATUS: [unknown]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(NotFound, match="Job not found"),
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
def test_something_else_at_the_address_is_called_what_it_is(connect: Connect, answer: Answer) -> None:
    with (
        scripted_service({STATUS: [answer]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(VidetteError, match="as a Vidette service does") as caught,
    ):
        client.status(JOB)
    assert caught.value.code == ClientCode.BAD_ANSWER


def test_a_redirect_says_where_to(connect: Connect) -> None:
    moved = Answer(308, b"", {"Location": f"https://vidette.example/video/status/{JOB}"})
    with (
        scripted_service({STATUS: [moved]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(VidetteError, match=r"redirects to https://vidette\.example\. Use that"),
    ):
        client.status(JOB)


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_that_does_not_reach_the_service_is_asked_again_and_then_named(connect: Connect, status: int) -> None:
    page = Answer(status, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
    with (
        scripted_service({STATUS: [page, job("running"), page]}) as script,
        connect(script.url, retries=QUICK) as client,
    ):
        assert client.status(JOB).status is JobState.RUNNING
        with pytest.raises(ServiceUnavailable, match="does not reach it") as caught:
            client.status(JOB)
    assert (caught.value.status_code, caught.value.code) == (status, f"http_{status}")


def test_waiting_reports_every_status_and_ends_with_the_final_one(connect: Connect) -> None:
    seen: list[JobStatus] = []
    turns = [job("pending"), job("running", progress=0.5), BUSY, job("completed", progress=1.0)]
    with scripted_service({STATUS: turns}) as script, connect(script.url, retries=QUICK) as client:
        final = client.wait(JOB, timeout=20, on_status=seen.append)
    assert [status.status for status in seen] == [JobState.PENDING, JobState.RUNNING, JobState.COMPLETED]
    assert final == seen[-1]


def test_waiting_outlives_a_service_that_is_away_for_longer_than_the_retries(connect: Connect) -> None:
    turns = [job("running"), *[BUSY] * 4, job("completed")]
    with (
        scripted_service({STATUS: turns}) as script,
        connect(script.url, Timeouts(outage=20), RetryPolicy(attempts=1)) as client,
    ):
        assert client.wait(JOB, timeout=30).status is JobState.COMPLETED


def test_waiting_ends_with_an_error_when_the_service_stays_away(connect: Connect) -> None:
    with (
        scripted_service({STATUS: [job("running"), BUSY]}) as script,
        connect(script.url, Timeouts(outage=0.3), QUICK) as client,
        pytest.raises(VidetteError) as caught,
    ):
        client.wait(JOB, timeout=30)
    assert caught.value.status_code == 503


def test_waiting_ends_at_its_time_limit_and_says_that_the_job_goes_on(connect: Connect) -> None:
    with (
        scripted_service({STATUS: [job("running")]}) as script,
        connect(script.url) as client,
        pytest.raises(StillRunning, match="It goes on") as caught,
    ):
        client.wait(JOB, timeout=0.5)
    assert caught.value.code == ClientCode.STILL_RUNNING
