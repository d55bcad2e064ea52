"""Each limit, set by its variable on the whole stack, holds where it is enforced: the job or the upload ends with its code.

What is just within all of them is taken, so no limit is met by something else's fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.clips import write_clip, write_digits_clip
from tests.support.hostile_clips import one_frame_of_many_pictures, tracks_in_mp4
from tests.support.public_api import MP4_HEAD
from tests.support.raw_http import FILE_HEAD, RawAnswer, raw_upload
from tests.support.stacks import PIPELINE_ID, completed, stack_running, until
from vidette.client import Client
from vidette.models import JobState
from vidette_local.stack_process import StackProcess

MIB = 2**20
LIMITS = {
    "VIDETTE_LIMIT_PIXELS": str(320 * 180),
    "VIDETTE_LIMIT_FRAMES": "60",
    "VIDETTE_LIMIT_DURATION_S": "3",
    "VIDETTE_LIMIT_TRACKS": "4",
    "VIDETTE_LIMIT_DECODE_S": "0.5",
    "VIDETTE_UPLOAD_MAX_BYTES": str(MIB),
    "VIDETTE_UPLOAD_MAX_AT_ONCE": "1",
    "VIDETTE_UPLOAD_TIMEOUT_S": "4",
    "VIDETTE_UPLOAD_IDLE_TIMEOUT_S": "2",
    "VIDETTE_UPLOAD_MIN_BYTES_PER_S": "100",
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with stack_running(tmp_path_factory.mktemp("narrow"), **LIMITS) as running:
        yield running


@pytest.fixture
def client(narrow: StackProcess) -> Iterator[Client]:
    with Client(narrow.url) as made:
        yield made


def why_it_failed(client: Client, path: Path) -> tuple[str, str]:
    status = until(client, client.submit(path, PIPELINE_ID), lambda status: status.status is JobState.FAILED)
    assert status.error is not None
    return status.error.code, status.error.message


def test_a_video_at_all_its_limits_is_analysed(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "allowed.mp4"
    write_clip(path, "mp4_bframes", 60)
    assert len(completed(client, client.submit(path, PIPELINE_ID))) == 60


def test_pixels(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_digits_clip(path, 5, size=(640, 360))
    assert why_it_failed(client, path) == (
        "too_large_frame",
        "Its frames have 640 x 360 pixels, and this installation takes 57600 pixels at most. "
        "Scale the video down and submit it again.",
    )


def test_frames(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "many.mp4"
    write_clip(path, "mp4_bframes", 61)
    assert why_it_failed(client, path) == (
        "too_long",
        "It has at least 61 frames, and this installation takes 60 frames at most. Cut the video and submit the parts.",
    )


def test_duration(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    write_clip(path, "mp4_bframes", 40, fps=10)
    assert why_it_failed(client, path) == (
        "too_long",
        "It lasts 4 s, and this installation takes 3 s at most. Cut the video and submit the parts.",
    )


def test_tracks(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "tracks.mp4"
    path.write_bytes(tracks_in_mp4(4))
    assert len(completed(client, client.submit(path, PIPELINE_ID))) == 5
    path.write_bytes(tracks_in_mp4(5))
    assert why_it_failed(client, path) == (
        "invalid_video",
        "The file has 5 tracks or more, and this installation takes 4 at most. "
        "Export the video with the pictures alone and submit it again.",
    )


def test_the_time_that_a_frame_takes(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "slow.mp4"
    path.write_bytes(one_frame_of_many_pictures())
    assert why_it_failed(client, path) == (
        "invalid_video",
        "Decoding one frame of the video, or reading its index, takes more than 0.5 s of computing, "
        "which is all that this installation allows. Export the video again with a common codec, e.g. H.264.",
    )


def test_bytes(narrow: StackProcess) -> None:
    files = {"file": ("v.mp4", MP4_HEAD + bytes(2 * MIB))}
    data = {"pipeline_id": PIPELINE_ID}
    answer = httpx.post(f"{narrow.url}/video/submit", files=files, data=data, timeout=30, trust_env=False)
    assert (answer.status_code, answer.headers["vidette-error"]) == (413, "upload_too_large")
    assert "at most 1048576 bytes (1 MiB)" in answer.json()["detail"]


async def fed(narrow: StackProcess, piece: bytes, every_s: float) -> RawAnswer:
    """What a client is told that sends a piece now and then, for ever."""
    port = httpx.URL(narrow.url).port
    assert port is not None
    async with asyncio.timeout(20), raw_upload(port, MIB) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD)
        answer = asyncio.create_task(upload.answer())
        while not answer.done():
            await upload.send(piece)
            await asyncio.wait([answer], timeout=every_s)
        return await answer


def test_time_to_upload(narrow: StackProcess) -> None:
    answer = asyncio.run(fed(narrow, b"x" * 100, 0.2))
    assert (answer.status, answer.headers["vidette-error"]) == (408, "upload_timeout")
    assert b" in 4 s, and it may take 4 s" in answer.body


@pytest.mark.parametrize(("piece", "every_s"), [(b"", 1.0), (b"x", 0.5)], ids=["silence", "a byte at a time"])
def test_silence_and_slowness(narrow: StackProcess, piece: bytes, every_s: float) -> None:
    answer = asyncio.run(fed(narrow, piece, every_s))
    assert (answer.status, answer.headers["vidette-error"]) == (408, "upload_timeout")
    assert b"be silent for 2 s, and has to bring 100 bytes a second" in answer.body
    assert b" in 4 s" not in answer.body, "before the time for the whole has passed"


def test_uploads_at_once(narrow: StackProcess) -> None:
    async def second() -> httpx.Response:
        port = httpx.URL(narrow.url).port
        assert port is not None
        async with raw_upload(port, MIB) as first, httpx.AsyncClient(trust_env=False, timeout=20) as client:
            await first.send(FILE_HEAD + MP4_HEAD)
            await asyncio.sleep(0.5)
            files = {"file": ("v.mp4", MP4_HEAD)}
            return await client.post(f"{narrow.url}/video/submit", files=files, data={"pipeline_id": PIPELINE_ID})

    answer = asyncio.run(second())
    assert (answer.status_code, answer.headers["vidette-error"]) == (503, "too_many_uploads")
    assert int(answer.headers["retry-after"]) > 0
