"""A short chaos run of a fixed seed: faults of many sorts over small jobs, and nothing is wrong afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.reference import Reference
from tests.chaos.report import in_words, result_of
from tests.chaos.run import run_episode
from tests.chaos.schedule import schedule

SEED, FAULTS = 139, 14
MISSED = 4
"""So many may find nobody to strike: which worker runs when is not decided by the seed."""


@pytest.mark.timeout(900)
def test_after_random_faults_every_job_has_ended_as_it_should_and_nothing_is_left_over(tmp_path: Path) -> None:
    folder, planned = tmp_path / "episode", schedule(SEED, FAULTS)
    evidence = run_episode(planned, folder, Reference(tmp_path / "fault-free.json"))
    result = result_of(planned, folder, evidence, check(evidence))
    assert result.violations == (), in_words(result)
    assert result.struck.total() >= FAULTS - MISSED
    assert result.ended["completed"] > 2
    assert evidence.chunks
    assert evidence.objects.keys() >= {chunk.key for chunk in evidence.chunks}
