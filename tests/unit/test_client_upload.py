"""Uploads of both clients, against servers that answer before, during and after the body."""

from __future__ import annotations

import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.both_clients import Connect
from tests.support.scripted_service import JOB, SUBMIT, Answer, as_json, scripted_service
from vidette import ClientCode, RetryPolicy, Timeouts, VidetteError
from vidette.errors import (
    BadAnswer,
    BadFile,
    ConnectionLost,
    DatabaseUnavailable,
    InternalError,
    InvalidFormat,
    ServiceUnavailable,
    StoreUnavailable,
    TooManyUploads,
    Unreachable,
)

MIB = 1024 * 1024
QUICK = RetryPolicy(attempts=3, first=0.01, longest=0.02, longest_asked=0.05)
REFUSAL = b'{"detail": "Invalid file format. Must be MP4, MOV, or AVI."}'
HEAD = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nVidette-Error: invalid_format\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(REFUSAL)
)


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """64 MiB that take no room on the disk."""
    path = tmp_path / "not a video.mp4"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    return path


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accepts one connection and lets `talk` have it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)
        assert not thread.is_alive()


def read_exactly(connection: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(connection.recv(min(size, 65536)))


def test_a_refusal_sent_before_the_body_is_through_is_read_and_ends_the_sending(
    connect: Connect, large_file: Path
) -> None:
    received: list[int] = []

    def refuse_and_drain(connection: socket.socket) -> None:
        read_exactly(connection, 65536)
        connection.sendall(HEAD + REFUSAL)
        drained = 65536
        while piece := connection.recv(65536):
            drained += len(piece)
        received.append(drained)

    with raw_server(refuse_and_drain) as url, connect(url) as client, pytest.raises(InvalidFormat) as caught:
        client.submit(large_file, "yolo_ocr")
    assert (caught.value.status_code, caught.value.code) == (400, "invalid_format")
    assert caught.value.detail == "Invalid file format. Must be MP4, MOV, or AVI."
    assert received[0] < 32 * MIB, "the client went on sending a body that nobody wanted"


def test_a_refusal_is_read_even_when_the_server_reads_no_further_and_closes(connect: Connect, large_file: Path) -> None:
    def refuse_and_close(connection: socket.socket) -> None:
        read_exactly(connection, 65536)
        connection.sendall(HEAD + REFUSAL)

    with raw_server(refuse_and_close) as url, connect(url) as client, pytest.raises(InvalidFormat) as caught:
        client.submit(large_file, "yolo_ocr")
    assert caught.value.code == "invalid_format"


def test_a_connection_lost_without_an_answer_is_a_plain_sentence(connect: Connect, large_file: Path) -> None:
    with (
        raw_server(lambda connection: read_exactly(connection, 65536)) as url,
        connect(url) as client,
        pytest.raises(ConnectionLost, match="was lost before the answer was complete") as caught,
    ):
        client.submit(large_file, "yolo_ocr")
    assert (caught.value.status_code, caught.value.code) == (None, ClientCode.CONNECTION_LOST)


def test_a_server_that_never_answers_is_given_up_on(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * 1000)

    def listen_only(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with (
        raw_server(listen_only) as url,
        connect(url, Timeouts(accept=0.3)) as client,
        pytest.raises(VidetteError) as caught,
    ):
        client.submit(path, "yolo_ocr")
    assert caught.value.code == ClientCode.TIMED_OUT


def test_the_file_is_sent_first_and_the_fields_after_it(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"the video's bytes")
    seen: list[tuple[int, int]] = []
    with scripted_service({SUBMIT: [as_json({"job_id": str(JOB)})]}) as script, connect(script.url) as client:
        job = client.submit(path, "yolo_ocr", 5, 12, lambda sent, total: seen.append((sent, total)), max_workers=3)
    body = script.requests[0][1]
    names = (b'"file"', b'"pipeline_id"', b'"frame_stride"', b'"max_frames"', b'"max_workers"')
    parts = [body.index(name) for name in names]
    assert job == JOB
    assert parts == sorted(parts)
    assert b'filename="clip.mp4"' in body
    assert b'name="frame_stride"\r\n\r\n5\r\n' in body
    assert b'name="max_frames"\r\n\r\n12\r\n' in body
    assert b'name="max_workers"\r\n\r\n3\r\n' in body
    assert seen[-1] == (17, 17)


def test_an_upload_needs_no_more_memory_than_a_few_pieces(connect: Connect, large_file: Path) -> None:
    def accept(connection: socket.socket) -> None:
        read_exactly(connection, 64 * MIB)
        body = b'{"job_id": "%s"}' % str(JOB).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while connection.recv(65536):
            pass

    with raw_server(accept) as url, connect(url) as client:
        tracemalloc.start()
        try:
            client.submit(large_file, "yolo_ocr")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * MIB


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(connect: Connect, tmp_path: Path) -> None:
    with connect("http://127.0.0.1:9") as client, pytest.raises(BadFile) as caught:
        client.submit(tmp_path / "nowhere.mp4", "yolo_ocr")
    assert caught.value.code == ClientCode.BAD_FILE
    assert caught.value.detail.endswith("nowhere.mp4 does not exist.")


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / 'a "clip".mp4'
    path.write_bytes(b"x" * 1000)
    return path


def refusal(status: int, code: str) -> Answer:
    return as_json({"detail": f"{code}."}, status, Vidette_Error=code, Retry_After="7")


def test_an_upload_for_which_there_was_no_room_is_sent_again_as_often_as_allowed(
    connect: Connect, small_file: Path
) -> None:
    busy = refusal(503, "too_many_uploads")
    with (
        scripted_service({SUBMIT: [busy, as_json({"job_id": str(JOB)}), busy]}) as script,
        connect(script.url, retries=QUICK) as client,
    ):
        assert client.submit(small_file, "yolo_ocr") == JOB
        assert [body.count(b"x" * 1000) for _, body in script.requests] == [1, 1]
        with pytest.raises(TooManyUploads) as caught:
            client.submit(small_file, "yolo_ocr")
    assert caught.value.retry_after == 7.0
    assert len(script.requests) == 2 + QUICK.attempts


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(503, "database_unavailable"), DatabaseUnavailable),
        (refusal(503, "store_unavailable"), StoreUnavailable),
        (refusal(500, "internal"), InternalError),
        (Answer(503, b"<html>", {"Content-Type": "text/html"}), ServiceUnavailable),
        (Answer(200, b'{"job_id": ', cut=1), ConnectionLost),
        (Answer(200, b"<html>hello</html>"), BadAnswer),
    ],
)
def test_an_upload_that_may_have_made_a_job_is_never_sent_again(
    connect: Connect, small_file: Path, answer: Answer, expected: type[VidetteError]
) -> None:
    with (
        scripted_service({SUBMIT: [answer, as_json({"job_id": str(JOB)})]}) as script,
        connect(script.url, retries=QUICK) as client,
        pytest.raises(expected),
    ):
        client.submit(small_file, "yolo_ocr")
    assert len(script.requests) == 1


def test_a_service_that_comes_up_late_gets_the_upload_and_one_that_does_not_is_named(
    connect: Connect, small_file: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        address = reserved.getsockname()
    url = f"http://127.0.0.1:{address[1]}"
    with connect(url, retries=QUICK) as client, pytest.raises(Unreachable):
        client.submit(small_file, "yolo_ocr")

    def come_up() -> None:
        time.sleep(0.3)
        with socket.create_server(address) as listener:
            listener.settimeout(20)
            connection, _ = listener.accept()
            with connection:
                body = b'{"job_id": "%s"}' % str(JOB).encode()
                read_exactly(connection, 1200)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    late = threading.Thread(target=come_up)
    late.start()
    with connect(url, retries=RetryPolicy(attempts=100, first=0.05, longest=0.1)) as client:
        assert client.submit(small_file, "yolo_ocr") == JOB
    late.join(20)


def test_a_quote_in_a_file_name_does_not_end_it(connect: Connect, small_file: Path) -> None:
    with scripted_service({SUBMIT: [as_json({"job_id": str(JOB)})]}) as script, connect(script.url) as client:
        client.submit(small_file, "yolo_ocr")
    assert b'filename="a %22clip%22.mp4"\r\n' in script.requests[0][1]


@pytest.mark.parametrize("size", [48 * MIB + 1, 80 * MIB])
def test_a_file_that_changes_while_it_is_sent_is_an_error(connect: Connect, large_file: Path, size: int) -> None:
    with (
        scripted_service({SUBMIT: [as_json({"job_id": str(JOB)})]}) as script,
        connect(script.url) as client,
        pytest.raises(BadFile, match="changed while it was being sent"),
    ):
        client.submit(large_file, "yolo_ocr", on_progress=lambda *_: os.truncate(large_file, size))
