"""The schedule of a chaos run: the same for the same seed, within what the system can heal from, kept in a file, and shrunk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.chaos.clients import RUBBISH as BODIES
from tests.chaos.films import FILMS
from tests.chaos.schedule import (
    FAULTS_AN_EPISODE,
    LONGEST_FAULT_S,
    RUBBISH,
    Cancel,
    Mode,
    Submit,
    Target,
    episodes,
    load,
    save,
    schedule,
)
from tests.chaos.shrinking import smallest
from tests.support.ways import Way

SEEDS = st.integers(0, 10**6)
COUNTS = st.integers(0, 120)
NETWORK = {Mode.CUT, Mode.HANG, Mode.SLOW, Mode.HALF_OPEN, Mode.MUTE}


@given(SEEDS, COUNTS)
@settings(max_examples=40)
def test_a_seed_decides_everything(seed: int, faults: int) -> None:
    assert schedule(seed, faults) == schedule(seed, faults)
    assert len(schedule(seed, faults).faults) == faults


def test_other_seeds_and_episodes_do_other_things() -> None:
    made = [schedule(seed, 30, episode).actions for seed in (1, 2) for episode in (0, 1)]
    assert all(one != other for number, one in enumerate(made) for other in made[number + 1 :])


@given(SEEDS, COUNTS)
@settings(max_examples=40)
def test_faults_leave_the_system_time_to_heal(seed: int, faults: int) -> None:
    made = schedule(seed, faults)
    assert [action.at for action in made.actions] == sorted(action.at for action in made.actions)
    for before, after in pairwise(made.faults):
        assert before.seconds <= LONGEST_FAULT_S
        assert after.at - before.at >= (20 if before.target is Target.STACK else 0.09)
    gaps = [after.at - before.at for before, after in pairwise(made.faults)]
    assert sum(gap > LONGEST_FAULT_S for gap in gaps) >= (len(made.faults) - 1) // 12


@given(SEEDS)
@settings(max_examples=40)
def test_every_fault_is_one_that_its_target_can_have(seed: int) -> None:
    for fault in schedule(seed, 60).faults:
        assert (fault.mode in NETWORK) == isinstance(fault.target, Way)
        assert fault.mode is not Mode.MORE or (fault.target is Target.CONTROLLER and fault.which in (1, 2))
        assert fault.mode is not Mode.WIPE or fault.target is Target.NATS


def test_in_a_thousand_faults_every_part_way_and_mode_has_its_turn() -> None:
    faults = [fault for made in episodes(5, 1000) for fault in made.faults]
    assert len(faults) == 1000
    assert {fault.target for fault in faults} == {*Target, *Way}
    assert {fault.mode for fault in faults} == set(Mode)


def test_in_a_thousand_faults_every_film_is_sent_and_every_rubbish() -> None:
    actions = [action for made in episodes(5, 1000) for action in made.actions]
    submissions = {action.work.film for action in actions if isinstance(action, Submit)}
    assert submissions == set(FILMS)
    assert {action.kind for action in actions} == {"submit", "cancel", "abort", "rubbish", "fault"}
    assert set(RUBBISH) == set(BODIES)


@given(SEEDS, st.integers(0, 450))
@settings(max_examples=20)
def test_many_faults_are_cut_into_episodes(seed: int, faults: int) -> None:
    counts = [len(made.faults) for made in episodes(seed, faults)]
    assert sum(counts) == faults
    assert all(count == FAULTS_AN_EPISODE for count in counts[:-1])


@given(SEEDS)
@settings(max_examples=40)
def test_cancellations_belong_to_a_submission(seed: int) -> None:
    made = schedule(seed, 60)
    numbers = [action.number for action in made.actions if isinstance(action, Submit)]
    assert len(set(numbers)) == len(numbers)
    assert {action.number for action in made.actions if isinstance(action, Cancel)} <= set(numbers)


def test_a_schedule_is_read_from_its_file_as_it_was(tmp_path: Path) -> None:
    made = schedule(3, 50)
    save(made, tmp_path / "schedule.json")
    assert load(tmp_path / "schedule.json") == made
    (tmp_path / "schedule.json").write_text('{"seed": 1, "episode": 0, "actions": [{"kind": "pray", "at": 1}]}')
    with pytest.raises(ValidationError):
        load(tmp_path / "schedule.json")


@given(st.sets(st.integers(0, 63), min_size=1, max_size=4))
@settings(max_examples=60)
def test_shrinking_finds_the_actions_that_are_needed_and_no_other(needed: set[int]) -> None:
    def fails(part: Sequence[int]) -> bool:
        return needed <= set(part)

    assert smallest(range(64), fails, tries=2000) == sorted(needed)


@given(st.integers(0, 40), st.sets(st.integers(0, 63), min_size=1, max_size=6))
@settings(max_examples=60)
def test_shrinking_keeps_to_its_number_of_tries_and_to_what_has_failed(tries: int, needed: set[int]) -> None:
    asked: list[Sequence[int]] = []

    def fails(part: Sequence[int]) -> bool:
        asked.append(part)
        return needed <= set(part)

    found = smallest(range(64), fails, tries)
    assert len(asked) <= tries
    assert needed <= set(found)
    assert found == sorted(found)


def test_shrinking_a_schedule_leaves_the_fault_that_matters() -> None:
    made = schedule(4, 40)
    wanted = made.faults[17]
    assert smallest(made.actions, lambda actions: wanted in actions, tries=500) == [wanted]
