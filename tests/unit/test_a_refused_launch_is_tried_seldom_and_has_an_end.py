"""What the controller remembers of launches that were refused."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

from vidette_controller.refused import FIRST_PAUSE_S, LONGEST_PAUSE_S, RefusedLaunches

JOB = UUID(int=1)


def test_pauses_double_up_to_the_longest() -> None:
    launches, now = RefusedLaunches(patience_s=1e9), 0.0
    tries: list[float] = []
    while len(tries) < 10:
        if launches.may_try(JOB, 1, now):
            tries.append(now)
            launches.was_refused(JOB, 1, now)
        now += FIRST_PAUSE_S / 2
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE_S


def test_it_has_an_end_once_it_was_refused_for_longer_than_is_worth_waiting() -> None:
    launches = RefusedLaunches(patience_s=600)
    assert not launches.was_refused(JOB, 1, 1000.0)
    assert not launches.was_refused(JOB, 1, 1600.0)
    assert launches.was_refused(JOB, 1, 1600.1)


def test_the_next_attempt_and_other_jobs_are_tried_at_once() -> None:
    launches = RefusedLaunches(patience_s=600)
    launches.was_refused(JOB, 1, 0.0)
    assert not launches.may_try(JOB, 1, 0.5)
    assert launches.may_try(JOB, 2, 0.5)
    assert launches.may_try(UUID(int=2), 1, 0.5)


def test_what_was_launched_or_is_wanted_no_more_is_forgotten() -> None:
    launches = RefusedLaunches(patience_s=600)
    for number in (1, 2, 3):
        launches.was_refused(UUID(int=number), 1, 0.0)
    launches.forget(UUID(int=1))
    launches.keep({UUID(int=1), UUID(int=2)})
    assert [launches.may_try(UUID(int=number), 1, 0.5) for number in (1, 2, 3)] == [True, False, True]
