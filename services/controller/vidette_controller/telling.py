"""Tells on a launched job how its video goes on and ends, for `kubectl describe`; `explaining` tells what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from vidette_controller.actions import FailJob, NextAttempt
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.jobs import JobState
from vidette_core.ports.launcher import LaunchedJob, Launcher, Note

_AT_ONCE = 20
_SECONDS = 5.0
"""For all notes of one round: they are for people, and the next round is for jobs."""
_log = structlog.get_logger(__name__)


class Turn(StrEnum):
    """Reasons of Events: never rename one. Those that say what is the matter are `findings.Finding`."""

    RESUMED = "AttemptResumes"
    REPLACED = "AttemptReplaced"
    COMPLETED = "VideoCompleted"
    FAILED = "VideoFailed"
    CANCELLED = "VideoCancelled"


@dataclass(frozen=True, slots=True)
class Telling:
    """A note and where it belongs."""

    name: str
    uid: str
    note: Note


def launched(job: LaunchedJob) -> Telling | None:
    """Kubernetes itself says that a Job was made; what it cannot know is that it continues another."""
    if job.attempt == 1:
        return None
    sentence = f"Attempt {job.attempt} of the video goes on behind the last frames that earlier attempts committed."
    return Telling(job.name, job.uid, Note(Turn.RESUMED, sentence))


def replaced(action: NextAttempt) -> Telling | None:
    if action.uid is None:
        return None
    sentence = f"Attempt {action.attempt} is given up: {action.reason}. The next attempt keeps what was committed."
    return Telling(action.name, action.uid, Note(Turn.REPLACED, sentence, warning=True))


def finished(name: str, uid: str | None, outcome: str) -> Telling | None:
    """`outcome` is as `Schedule.finish` returns it."""
    if uid is None:
        return None
    if outcome == JobState.COMPLETED:
        return Telling(name, uid, Note(Turn.COMPLETED, "Every sampled frame has its result: the video is completed."))
    sentence = f"All frames were worked on, and the video has failed with {outcome}; its status says more."
    return Telling(name, uid, Note(Turn.FAILED, sentence, warning=True))


def failed(action: FailJob) -> Telling | None:
    if action.uid is None:
        return None
    problem = action.problem
    if problem.code is ErrorCode.CANCELLED:
        return Telling(action.name, action.uid, Note(Turn.CANCELLED, "The video was cancelled by its client."))
    sentence = f"The video has failed with {problem.code.value}: {problem.message}"
    return Telling(action.name, action.uid, Note(Turn.FAILED, sentence, warning=True))


async def tell(launcher: Launcher, tellings: Sequence[Telling]) -> None:
    """As many as there is time for. Raises nothing."""
    told = 0
    try:
        async with asyncio.timeout(_SECONDS):
            for first in range(0, len(tellings), _AT_ONCE):
                some = tellings[first : first + _AT_ONCE]
                await asyncio.gather(*(launcher.tell(each.name, each.uid, each.note) for each in some))
                told += len(some)
    except TimeoutError:
        _log.info("not everything was told on the launched jobs", told=told, left=len(tellings) - told)
