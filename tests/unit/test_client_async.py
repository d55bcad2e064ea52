"""What only the asynchronous client can get wrong: a blocked event loop, and what a cancellation leaves behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.scripted_service import JOB, RESULTS, STATUS, SUBMIT, as_json, as_lines, frame, job, scripted_service
from vidette import AsyncClient

MIB = 1024 * 1024


@asynccontextmanager
async def tcp_server(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outcome = talk(reader, writer)
            if asyncio.iscoroutine(outcome):
                await outcome
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def read_to_the_end(reader: asyncio.StreamReader, ended: asyncio.Event) -> None:
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
    ended.set()


async def read_slowly(client: AsyncClient) -> None:
    async for _ in client.results(JOB):
        await asyncio.sleep(10)


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    return path


async def test_a_server_that_is_slow_to_take_an_upload_holds_nobody_up(large_file: Path) -> None:
    """The upload blocks, and whatever else is in the event loop goes on."""
    ended = asyncio.Event()

    async def drain_late(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        await read_to_the_end(reader, ended)

    async with tcp_server(drain_late) as url, AsyncClient(url) as client:
        started = time.monotonic()
        upload = asyncio.create_task(client.submit(large_file, "yolo_ocr"))
        ticks = [await asyncio.sleep(0.01, time.monotonic()) for _ in range(20)]
        assert ticks[-1] - started < 0.45
        assert not upload.done()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload


async def test_a_cancelled_upload_that_waits_for_its_answer_ends_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(bytes(1000))
    ended = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_to_the_end(reader, ended)

    async with tcp_server(never_answer) as url, AsyncClient(url) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.submit(path, "yolo_ocr"), 0.3)
        await asyncio.wait_for(ended.wait(), 5)
    for thread in threading.enumerate():
        if thread.name.startswith("vidette upload"):
            thread.join(5)
            assert not thread.is_alive()


async def test_a_cancelled_upload_closes_its_connection_and_its_file_at_once(large_file: Path) -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def drain_slowly(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(MIB)
        begun.set()
        await asyncio.sleep(0.3)
        await read_to_the_end(reader, ended)

    async with tcp_server(drain_slowly) as url, AsyncClient(url) as client:
        upload = asyncio.create_task(client.submit(large_file, "yolo_ocr"))
        await asyncio.wait_for(begun.wait(), 10)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        held = [number.resolve() for number in Path("/proc/self/fd").iterdir()]
        assert large_file not in held
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_cancelled_wait_and_a_cancelled_reading_leave_a_client_that_works() -> None:
    rows = as_lines([frame(index) for index in range(20)])
    with scripted_service({STATUS: [job("running")], RESULTS: [rows]}) as script:
        async with AsyncClient(script.url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.wait(JOB), 0.3)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read_slowly(client), 0.3)
            assert len([row async for row in client.results(JOB)]) == 20


async def test_who_stops_reading_early_gives_the_connection_back_at_once() -> None:
    ended = asyncio.Event()
    body = as_lines([frame(0)]).body

    async def answer_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head + body)
        await read_to_the_end(reader, ended)

    async with tcp_server(answer_without_end) as url, AsyncClient(url) as client:
        async with aclosing(client.results(JOB)) as rows:
            assert (await anext(rows)).frame_index == 0
        await asyncio.wait_for(ended.wait(), 5)


async def test_many_uploads_go_on_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(20)]
    for path in paths:
        path.write_bytes(bytes(300_000))
    with scripted_service({SUBMIT: [as_json({"job_id": str(JOB)})]}) as script:
        async with AsyncClient(script.url) as client:
            jobs = await asyncio.gather(*(client.submit(path, "yolo_ocr") for path in paths))
    assert jobs == [JOB] * 20
    assert len(script.requests) == 20


async def test_callbacks_are_called_in_the_event_loops_thread(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(bytes(600_000))
    threads: set[int] = set()
    answers = {SUBMIT: [as_json({"job_id": str(JOB)})], STATUS: [job("completed")]}
    with scripted_service(answers) as script:
        async with AsyncClient(script.url) as client:
            job_id = await client.submit(path, "yolo_ocr", on_progress=lambda *_: threads.add(threading.get_ident()))
            await client.wait(job_id, on_status=lambda _: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}
