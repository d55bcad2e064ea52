"""The sampling rule against its definition: of frames 0…n-1 take 0, k, 2k, …, and at most max_frames of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidette_core.domain.planning import progress_of
from vidette_core.domain.sampling import Sampling

SAMPLINGS = st.builds(Sampling, st.integers(1, 40), st.none() | st.integers(1, 60))


@given(SAMPLINGS, st.integers(0, 500))
def test_it_takes_every_kth_frame_up_to_the_limit(sampling: Sampling, frames: int) -> None:
    wanted = list(range(0, frames, sampling.stride))[: sampling.max_frames]
    assert [index for index in range(frames) if sampling.is_sampled(index)] == wanted
    assert [sampling.frame_index(sample) for sample in range(sampling.count(frames))] == wanted


@pytest.mark.parametrize(("stride", "max_frames"), [(0, None), (-1, None), (1, 0), (1, -5)])
def test_nonsense_is_refused(stride: int, max_frames: int | None) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Sampling(stride, max_frames)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_progress_before_completion_stays_within_zero_and_less_than_one(samples: int, expected: int) -> None:
    assert 0 <= progress_of(samples, expected) < 1
