"""Plans over every length, sampling, price and cap: their windows hold each sample once, and nobody is hired for a trifle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidette_core.domain.planning import NOT_SPLIT, STARTS_PER_WORKER, STRETCH_CHUNKS, Costs, Listed, Plan, Window, plan
from vidette_core.domain.sampling import Sampling

SAMPLINGS = st.builds(Sampling, st.integers(1, 40), st.none() | st.integers(1, 10**6))
FRAMES = st.integers(0, 10**7)
COSTS = st.builds(Costs, frame_s=st.floats(1e-4, 10), start_s=st.floats(0.01, 100))
WORKERS, CHUNK_FRAMES = st.integers(1, 64), st.integers(1, 256)


@given(FRAMES, st.booleans(), SAMPLINGS, CHUNK_FRAMES, COSTS, WORKERS)
def test_a_plan_expects_what_is_sampled_and_never_nothing(
    frames: int, timed: bool, sampling: Sampling, chunk_frames: int, costs: Costs, most: int
) -> None:
    made = plan(Listed(frames, timed), sampling, chunk_frames, costs, most)
    assert made.expected_samples == max(1, sampling.count(frames))


@given(FRAMES, SAMPLINGS, CHUNK_FRAMES, COSTS, WORKERS)
def test_windows_follow_each_other_from_zero_to_the_end_and_begin_where_decoding_begins_afresh(
    frames: int, sampling: Sampling, chunk_frames: int, costs: Costs, most: int
) -> None:
    made = plan(Listed(frames, True), sampling, chunk_frames, costs, most)
    first, *others = made.windows
    assert first.first_sample == 0
    if not others:
        assert first.end_sample is None, "alone, the decoder says where it ends"
        return
    assert [window.end_sample for window in made.windows[:-1]] == [window.first_sample for window in others]
    stretch = STRETCH_CHUNKS * chunk_frames
    assert all(window.first_sample % stretch == 0 for window in others)
    assert made.windows[-1].end_sample == made.expected_samples
    stretches = [-(-((window.end_sample or 0) - window.first_sample) // stretch) for window in made.windows]
    assert min(stretches) >= 1
    assert max(stretches) - min(stretches) <= 1


@given(FRAMES, SAMPLINGS, CHUNK_FRAMES, COSTS, WORKERS)
def test_there_are_no_more_workers_than_allowed_or_worth_their_start(
    frames: int, sampling: Sampling, chunk_frames: int, costs: Costs, most: int
) -> None:
    made = plan(Listed(frames, True), sampling, chunk_frames, costs, most)
    work_s = made.expected_samples * costs.frame_s
    assert len(made.windows) <= most
    assert len(made.windows) == 1 or work_s / len(made.windows) >= STARTS_PER_WORKER * costs.start_s * (1 - 1e-9)


@given(FRAMES, SAMPLINGS, CHUNK_FRAMES, COSTS, WORKERS)
def test_frames_without_a_time_of_their_own_stay_together_and_it_is_said_where_it_costs_something(
    frames: int, sampling: Sampling, chunk_frames: int, costs: Costs, most: int
) -> None:
    made = plan(Listed(frames, False), sampling, chunk_frames, costs, most)
    assert made.windows == (Window(0),)
    would_be_split = len(plan(Listed(frames, True), sampling, chunk_frames, costs, most).windows) > 1
    assert bool(made.warnings) == would_be_split
    assert set(made.warnings) <= {NOT_SPLIT}


@pytest.mark.parametrize(
    ("frames", "workers"),
    [
        pytest.param(300, 1, id="ten seconds of video stay on one worker"),
        pytest.param(4000, 1, id="one stretch of decoding does so too"),
        pytest.param(4001, 2, id="from there on it is split"),
        pytest.param(216_000, 8, id="two hours have as many as are allowed"),
    ],
)
def test_how_many_workers_a_video_gets_at_a_fifth_of_a_second_a_frame(frames: int, workers: int) -> None:
    made = plan(Listed(frames, True), Sampling(), 200, Costs(frame_s=0.2, start_s=10), 8)
    assert len(made.windows) == workers


def test_the_windows_of_a_plan_are_what_the_rule_says() -> None:
    made = plan(Listed(10_500, True), Sampling(), 50, Costs(frame_s=1, start_s=1), 3)
    assert made == Plan(10_500, (Window(0, 3000), Window(3000, 7000), Window(7000, 10_500)))
