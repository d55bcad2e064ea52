"""Whatever a stranger sends, through the whole stack: refused at the door, or a job that ends soon, with a reason for people.

A worker that died of a file could not report the worker's own sentences below: a dead one's job fails with others, later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.support import rubbish
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette.models import JobState
from vidette_local.stack_process import StackProcess

INVALID = b'{"detail":"Invalid file format. Must be MP4, MOV, or AVI."}'
LEAKS = re.compile(r"://|Traceback|/[a-z]+/|X-Amz|0x[0-9a-f]{6}|av\.error|Errno|SELECT|None|\{|\}", re.IGNORECASE)
"""What is not for people, or not for strangers: addresses, paths, stacks, signatures, names of our code."""


def send(stack: StackProcess, content: bytes, name: str, content_type: str = "video/mp4") -> httpx.Response:
    files = {"file": (name, content, content_type)}
    fields = {"pipeline_id": PIPELINE_ID}
    return httpx.post(f"{stack.url}/video/submit", files=files, data=fields, timeout=30, trust_env=False)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (rubbish.empty, "empty.mp4"),
        (rubbish.pdf, "document.mp4"),
        (rubbish.png, "picture.mp4"),
        (rubbish.heic, "picture.mov"),
        (rubbish.playlist, "playlist.avi"),
        (rubbish.concat_script, "script.avi"),
    ],
)
def test_what_is_no_video_is_refused_whatever_it_is_called(
    make: Callable[[], bytes], name: str, stack: StackProcess
) -> None:
    answer = send(stack, make(), name)
    assert (answer.status_code, answer.content) == (400, INVALID)
    assert answer.headers["vidette-error"] == "invalid_format"


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (rubbish.cut_before_its_index, "invalid_video", "index cannot be read"),
        (rubbish.file_type_only, "invalid_video", "index cannot be read"),
        (rubbish.noise_behind_a_header, "invalid_video", "index cannot be read"),
        (rubbish.index_without_pictures, "invalid_video", "Not one frame"),
        (rubbish.sound_only, "invalid_video", "no video track"),
        (rubbish.track_smaller_than_its_parts, "invalid_video", "no video track"),
        (rubbish.chunks_behind_the_end, "invalid_video", "Not one frame"),
        (rubbish.samples_larger_than_the_file, "invalid_video", "Not one frame"),
        (rubbish.more_samples_than_the_file_has_bytes, "too_long", "has at least 85000000 frames"),
        (rubbish.more_samples_in_a_fragment_than_the_file_has_bytes, "too_long", "has at least 80000000 frames"),
        (rubbish.huge_pictures_in_mp4, "too_large_frame", "34464 x 34464 pixels"),
        (rubbish.huge_pictures_in_avi, "too_large_frame", "100000 x 100000 pixels"),
    ],
)
def test_a_video_that_cannot_be_analysed_fails_its_job_and_says_why(
    make: Callable[[], bytes], code: str, said: str, stack: StackProcess, client: Client
) -> None:
    answer = send(stack, make(), "video.mp4")
    assert answer.status_code == 200, answer.text
    status = client.wait(UUID(answer.json()["job_id"]), timeout=60)
    assert status.status is JobState.FAILED
    assert status.error is not None
    assert (status.error.code, said in status.error.message) == (code, True), status.error.message
    assert_fit_for_people(status.error.message)


def assert_fit_for_people(message: str) -> None:
    """Whole sentences, the last of which says what to do."""
    assert 40 < len(message) < 400
    assert message[0].isupper()
    assert message.endswith(".")
    assert ". " in message, "a cause and a remedy"
    assert not LEAKS.search(message), message


@pytest.mark.parametrize(
    "make",
    [
        rubbish.index_larger_than_the_file,
        rubbish.more_sound_than_the_file_has_bytes,
        rubbish.million_frames_per_second,
    ],
)
def test_a_strange_video_whose_pictures_can_be_had_is_analysed_whole(
    make: Callable[[], bytes], stack: StackProcess, client: Client
) -> None:
    job_id = UUID(send(stack, make(), "strange.mp4").json()["job_id"])
    assert numbers(completed(client, job_id)) == [(number, number) for number in range(rubbish.FRAMES)]


def test_a_video_cut_behind_its_index_gives_the_frames_that_are_there_and_a_warning(
    stack: StackProcess, client: Client
) -> None:
    job_id = UUID(send(stack, rubbish.cut_behind_its_index(), "cut.mp4").json()["job_id"])
    found = numbers(completed(client, job_id))
    assert 20 < len(found) < 100
    assert found == [(number, number) for number in range(len(found))]
    [warning] = client.status(job_id).warnings
    assert warning.code == "truncated"
    assert_fit_for_people(warning.message)


def test_a_wrong_content_type_of_the_file_means_as_little_as_its_name(stack: StackProcess, client: Client) -> None:
    answer = send(stack, bytes(rubbish.clip("avi")), "holiday.txt", "application/pdf")
    assert answer.status_code == 200
    assert len(completed(client, UUID(answer.json()["job_id"]))) == rubbish.FRAMES


def test_after_all_that_the_stack_serves_as_before(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "good.mp4"
    path.write_bytes(rubbish.clip())
    assert numbers(completed(client, client.submit(path, PIPELINE_ID))) == [(n, n) for n in range(rubbish.FRAMES)]
