"""The ledger over every way of cutting samples into chunks: whole ones balance, and whatever is missing or doubled does not."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vidette_core.domain.jobs import SegmentState, Tally
from vidette_core.domain.ledger import Entry, Imbalance, SegmentRecord, reconcile, verdict

FRAMES = st.integers(1, 50)
Cut = tuple[list[SegmentRecord], list[Entry]]


@st.composite
def cuts(draw: st.DrawFn) -> Cut:
    """Done segments, each cut into chunks whose frames ended in every way."""
    segments, chunks, at = [], [], 0
    for index in range(draw(st.integers(1, 4))):
        first = at
        for _ in range(draw(st.integers(1, 5))):
            tally = Tally(*draw(st.tuples(FRAMES, st.integers(0, 3), st.integers(0, 3))))
            chunks.append(Entry(at, tally))
            at += tally.frames
        segments.append(SegmentRecord(index, SegmentState.DONE, first, at, at))
    return segments, draw(st.permutations(chunks))


@given(cuts())
def test_whole_results_balance_in_any_order(cut: Cut) -> None:
    segments, chunks = cut
    tally = reconcile(segments, chunks)
    assert tally == sum((chunk.tally for chunk in chunks), Tally())


@given(cuts(), st.data())
def test_a_lost_chunk_is_noticed(cut: Cut, data: st.DataObject) -> None:
    segments, chunks = cut
    chunks.pop(data.draw(st.integers(0, len(chunks) - 1)))
    assert isinstance(reconcile(segments, chunks), Imbalance)


@given(cuts(), st.data())
def test_a_doubled_chunk_is_noticed(cut: Cut, data: st.DataObject) -> None:
    segments, chunks = cut
    chunks.append(data.draw(st.sampled_from(chunks)))
    assert isinstance(reconcile(segments, chunks), Imbalance)


@given(cuts(), st.data(), FRAMES)
def test_a_chunk_of_another_length_is_noticed(cut: Cut, data: st.DataObject, more: int) -> None:
    segments, chunks = cut
    index = data.draw(st.integers(0, len(chunks) - 1))
    chunks[index] = replace(chunks[index], tally=chunks[index].tally + Tally(ok=more))
    assert isinstance(reconcile(segments, chunks), Imbalance)


@given(cuts(), st.data())
def test_an_open_segment_is_noticed(cut: Cut, data: st.DataObject) -> None:
    segments, chunks = cut
    index = data.draw(st.integers(0, len(segments) - 1))
    segments[index] = replace(segments[index], state=SegmentState.OPEN)
    assert isinstance(reconcile(segments, chunks), Imbalance)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.floats(0, 1))
def test_a_job_completes_exactly_when_enough_frames_were_analysed(
    ok: int, decode: int, model: int, share: float
) -> None:
    tally = Tally(ok, decode, model)
    erred = decode + model
    completes = ok > 0 and erred / tally.frames <= share
    assert (verdict(tally, share) is None) == completes
