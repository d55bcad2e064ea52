"""Handing out frames in order: each index once, nothing lost, nothing shifted, whatever the decoder does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vidette_frame_worker.video.sequence import KnownOrder, OutputOrder, Placed


@given(st.data())
def test_every_known_frame_is_handed_out_once_in_order_and_missing_ones_as_none(data: st.DataObject) -> None:
    first, count = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 30))
    patience = data.draw(st.integers(1, 8))
    arriving = data.draw(st.permutations(range(first + count + 3)))
    arriving = arriving[: data.draw(st.integers(0, len(arriving)))]
    order: KnownOrder[int] = KnownOrder(first, first + count, patience)
    out: list[tuple[int, int | None]] = []
    for index in arriving:
        out += order.put(index, index)
        if order.is_starved:
            out += order.give_up()
            assert not order.is_starved
    while not order.is_complete:
        out += order.give_up()
    assert [index for index, _ in out] == list(range(first, first + count))
    assert all(item in (None, index) for index, item in out)
    handed = {index for index, item in out if item is not None}
    assert handed <= set(arriving)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 8))
def test_in_order_pictures_are_handed_out_at_once_and_exactly_the_missing_are_none(
    come: list[bool], patience: int
) -> None:
    order: KnownOrder[int] = KnownOrder(0, len(come), patience)
    out: list[tuple[int, int | None]] = []
    for index, comes in enumerate(come):
        if comes:
            out += order.put(index, index)
            if order.is_starved:
                out += order.give_up()
    while not order.is_complete:
        out += order.give_up()
    assert out == [(index, index if comes else None) for index, comes in enumerate(come)]


@given(st.lists(st.booleans(), max_size=60))
def test_without_delay_an_unanswered_packet_is_missing_at_exactly_its_place(answered: list[bool]) -> None:
    order: OutputOrder[int] = OutputOrder(sorts_times=True)
    out: list[Placed[int]] = []
    for tag, comes in enumerate(answered):
        order.sent(tag, time=10 * tag)
        if comes:
            out += order.put(tag, tag, delay=0)
    out += order.finish()
    assert out == [Placed(tag, 10 * tag, tag if comes else None) for tag, comes in enumerate(answered)]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_with_delay_every_packet_counts_once_and_the_decoders_order_stands(packets: list[tuple[bool, int]]) -> None:
    order: OutputOrder[int] = OutputOrder(sorts_times=True)
    by_time = sorted(range(len(packets)), key=lambda tag: tag + packets[tag][1])
    shown = [tag for tag in by_time if packets[tag][0]]
    out: list[Placed[int]] = []
    waiting = list(shown)
    for tag in range(len(packets)):
        order.sent(tag, time=10 * tag)
        while waiting and waiting[0] + 4 <= tag:
            out += order.put(waiting[0], waiting.pop(0), delay=3)
    for tag in waiting:
        out += order.put(tag, tag, delay=3)
    out += order.finish()
    assert [(placed.index, placed.time) for placed in out] == [(index, 10 * index) for index in range(len(packets))]
    assert [placed.item for placed in out if placed.item is not None] == shown


@given(st.permutations(range(12)))
def test_a_frame_is_shown_at_its_packets_time_unless_that_is_one_of_decoding(shown: list[int]) -> None:
    times = {}
    for sorts_times in (False, True):
        order: OutputOrder[int] = OutputOrder(sorts_times=sorts_times)
        for tag in range(12):
            order.sent(tag, time=10 * tag)
        placed = [each for tag in shown for each in order.put(tag, tag, delay=11)]
        assert [each.item for each in placed] == shown
        times[sorts_times] = [each.time for each in placed]
    assert times == {False: [10 * tag for tag in shown], True: [10 * number for number in range(12)]}


@given(st.integers(1, 15), st.integers(1, 5))
def test_a_late_picture_is_not_given_up_as_long_as_few_were_answered_behind_it(b_frames: int, step: int) -> None:
    """As where each frame has several packets: what counts is how many were sent that begin a picture, not their tags."""
    order: OutputOrder[int] = OutputOrder(sorts_times=True)
    tags = [step * number for number in range(b_frames + 2)]
    for number, tag in enumerate(tags):
        order.sent(tag, time=number)
    shown = [tags[0], *tags[2:], tags[1]]  # the picture that was sent second is shown last, behind all its B-frames
    placed = [each for tag in shown for each in order.put(tag, tag, delay=2)] + order.finish()
    assert [each.item for each in placed] == shown


def test_a_picture_under_the_tag_of_a_packet_that_begins_none_is_the_one_that_was_awaited() -> None:
    order: OutputOrder[str] = OutputOrder(sorts_times=False)
    order.sent(0, time=0)
    order.sent(1, time=40)
    order.passed_by(2)
    placed = [*order.put(0, "first", delay=1), *order.put(2, "second", delay=1), *order.finish()]
    assert placed == [Placed(0, 0, "first"), Placed(1, 40, "second")]
