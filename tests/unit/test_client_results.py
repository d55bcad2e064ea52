"""Results as both clients read them: streamed, split into lines, and unharmed by a connection that breaks."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.both_clients import Connect
from tests.support.scripted_service import (
    FACTS,
    JOB,
    RESULTS,
    Answer,
    PagedResults,
    as_lines,
    facts,
    frame,
    scripted_service,
)
from vidette import RetryPolicy
from vidette.errors import BadAnswer, ConnectionLost, NotCompleted

QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02, longest_asked=0.3)
ROWS = [frame(index, "Straße \u2028 出口") for index in range(50)]


def test_rows_are_split_at_line_feeds_only(connect: Connect) -> None:
    texts = ["EXIT", "one\u2028two\u0085three\x0bfour", "TAXI"]
    rows = as_lines([frame(index, text) for index, text in enumerate(texts)])
    with scripted_service({RESULTS: [rows]}) as script, connect(script.url) as client:
        assert [row.result.text for row in client.results(JOB)] == texts


@pytest.mark.parametrize("breaks", [[0], [20], [49], [50], [20, 10, 0], [0, 0, 1, 0, 1, 0]])
def test_a_broken_stream_goes_on_where_it_was_and_gives_no_frame_twice(connect: Connect, breaks: list[int]) -> None:
    with scripted_service({}, PagedResults(ROWS, list(breaks))) as script, connect(script.url, retries=QUICK) as client:
        assert [row.model_dump(mode="json", exclude_unset=True) for row in client.results(JOB)] == ROWS


def test_rows_that_were_given_are_not_asked_for_again(connect: Connect) -> None:
    with scripted_service({}, PagedResults(ROWS, [20])) as script, connect(script.url, retries=QUICK) as client:
        assert len(list(client.result_lines(JOB))) == 50
    assert [key for key, _ in script.requests] == [RESULTS, f"{RESULTS}?limit=20", f"{RESULTS}?cursor=at-20"]


def test_a_break_after_the_last_row_is_no_loss(connect: Connect) -> None:
    whole = as_lines(ROWS)
    padded = Answer(200, whole.body + b" " * 10, whole.headers, cut=10)
    with (
        scripted_service({RESULTS: [padded], f"{RESULTS}?limit=50": [whole]}) as script,
        connect(script.url, retries=QUICK) as client,
    ):
        assert [row.frame_index for row in client.results(JOB)] == list(range(50))


def test_results_that_break_off_again_and_again_are_an_error_and_never_a_shorter_result(connect: Connect) -> None:
    read: list[int] = []
    with (
        scripted_service({}, PagedResults(ROWS, [20, *[0] * 9])) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(ConnectionLost, match="lost before the answer was complete"),
    ):
        read.extend(row.frame_index for row in client.results(JOB))
    assert len(script.requests) == 1 + 2 * 2


def test_results_that_are_gone_after_a_break_are_an_error(connect: Connect) -> None:
    whole = as_lines(ROWS)
    cut = Answer(200, whole.body, whole.headers, cut=len(whole.body) // 2)
    with (
        scripted_service({RESULTS: [cut]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(BadAnswer),
    ):
        list(client.results(JOB))


def test_who_stops_early_leaves_a_client_that_goes_on_working(connect: Connect) -> None:
    with scripted_service({}, PagedResults(ROWS)) as script, connect(script.url) as client:
        rows = client.results(JOB)
        assert next(rows).frame_index == 0
        rows.close()
        assert len(list(client.results(JOB))) == 50


def test_an_unfinished_job_has_no_results(connect: Connect) -> None:
    unfinished = Answer(404, b'{"detail": "Job not completed"}', {"Vidette-Error": "not_completed"})
    with (
        scripted_service({RESULTS: [unfinished]}) as script,
        connect(script.url) as client,
        pytest.raises(NotCompleted, match="Job not completed"),
    ):
        list(client.results(JOB))


@pytest.mark.parametrize("body", [b"{}\n", b"no json\n", b'{"frame_index": 0, "resu'])
def test_rows_that_are_none_are_called_what_they_are(connect: Connect, body: bytes) -> None:
    answer = Answer(200, body, {"Content-Type": "application/x-ndjson"})
    with scripted_service({RESULTS: [answer]}) as script, connect(script.url) as client, pytest.raises(BadAnswer):
        list(client.results(JOB))


def test_facts_are_read_with_counts_of_a_newer_service(connect: Connect) -> None:
    counts = {"frames": 3, "ok": 3, "lines_read": 4, "lines_reused": 70}
    with scripted_service({FACTS: [facts(summary=counts)]}) as script, connect(script.url) as client:
        found = client.result_facts(JOB)
    assert found.summary == counts
    assert found.models[0].version == 3


def test_results_are_handed_on_while_the_answer_is_still_under_way(connect: Connect) -> None:
    body = as_lines([frame(0), frame(1)]).body
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connect(f"http://127.0.0.1:{listener.getsockname()[1]}") as client,
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
