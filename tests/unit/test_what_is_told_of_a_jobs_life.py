"""What the controller tells on a launched job of the life of its video."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from vidette_controller import telling
from vidette_controller.actions import FailJob, NextAttempt
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, Note
from vidette_core.testing.launcher import FakeLauncher

JOB = UUID(int=1)
TOO_LARGE = Problem(ErrorCode.INVALID_VIDEO, "The video is no video.")
CANCELLED = Problem(ErrorCode.CANCELLED, "The job was cancelled.")


def launched(attempt: int) -> LaunchedJob:
    return LaunchedJob("name", "uid", JOB, attempt, "spec", LaunchPhase.PENDING, datetime(2026, 1, 1, tzinfo=UTC))


def failing(problem: Problem, uid: str | None = "uid") -> FailJob:
    return FailJob(JOB, 1, problem, "name", uid)


def test_of_a_first_attempt_only_its_end_is_told() -> None:
    assert telling.launched(launched(1)) is None
    second = telling.launched(launched(2))
    assert second is not None
    assert "Attempt 2" in second.note.sentence


def test_a_replaced_attempt_says_why() -> None:
    told = telling.replaced(NextAttempt(JOB, 3, "name", "the launched job is gone", False, "uid", None))
    assert told is not None
    assert (told.name, told.uid, told.note.reason) == ("name", "uid", "AttemptReplaced")
    assert "Attempt 3 is given up: the launched job is gone." in told.note.sentence


@pytest.mark.parametrize(
    ("told", "reason", "warning"),
    [
        (telling.finished("name", "uid", "completed"), "VideoCompleted", False),
        (telling.finished("name", "uid", "too_many_errors"), "VideoFailed", True),
        (telling.failed(failing(TOO_LARGE)), "VideoFailed", True),
        (telling.failed(failing(CANCELLED)), "VideoCancelled", False),
    ],
)
def test_each_end_of_a_video_has_a_reason_of_its_own(told: telling.Telling | None, reason: str, warning: bool) -> None:
    assert told is not None
    assert (told.note.reason, told.note.warning) == (reason, warning)


def test_a_failed_video_says_what_its_client_is_told() -> None:
    told = telling.failed(failing(TOO_LARGE))
    assert told is not None
    assert told.note.sentence == "The video has failed with invalid_video: The video is no video."


def test_where_nothing_was_launched_there_is_nothing_to_tell_it_on() -> None:
    assert telling.failed(failing(TOO_LARGE, uid=None)) is None
    assert telling.finished("name", None, "completed") is None
    assert telling.replaced(NextAttempt(JOB, 1, "name", "why", False, None, None)) is None


async def test_a_launcher_that_takes_its_time_is_not_waited_for() -> None:
    class Slow(FakeLauncher):
        async def tell(self, name: str, uid: str, note: Note) -> None:
            await asyncio.sleep(60)
            await super().tell(name, uid, note)

    note = telling.Telling("name", "uid", Note("Reason", "sentence"))
    async with asyncio.timeout(20):
        await telling.tell(Slow(), [note] * 30)
