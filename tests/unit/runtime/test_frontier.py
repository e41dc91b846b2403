"""The commit frontier never passes an unfinished record."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.runtime.commit_metadata import decode, encode
from streamapp.runtime.frontier import Frontier


@settings(max_examples=1000, deadline=None)  # as many orders as the fault test asks for
@given(
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=60),
    seed=st.integers(),
    chunk=st.integers(1, 7),
)
def test_the_position_is_always_the_first_unfinished_delivered_offset(
    gaps: list[int], seed: int, chunk: int
) -> None:
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    rng = random.Random(seed)
    frontier = Frontier()
    delivered: list[int] = []
    finished: set[int] = set()
    waiting = list(offsets)
    while waiting or len(finished) < len(offsets):
        open_offsets = [offset for offset in delivered if offset not in finished]
        if waiting and (not open_offsets or rng.random() < 0.5):
            frontier.deliver(waiting[:chunk])
            delivered += waiting[:chunk]
            del waiting[:chunk]
        else:
            done = rng.sample(open_offsets, rng.randint(1, len(open_offsets)))
            before = frontier.position
            moved = frontier.finish(done)
            finished.update(done)
            assert moved == (frontier.position != before)
        unfinished = [offset for offset in delivered if offset not in finished]
        assert frontier.position == (unfinished[0] if unfinished else delivered[-1] + 1)
        assert frontier.idle == (not unfinished)


@given(
    gaps=st.lists(st.integers(1, 4), min_size=1, max_size=60),
    seed=st.integers(),
    chunk=st.integers(1, 9),
)
def test_a_restart_works_on_what_is_unfinished_and_on_nothing_else(
    gaps: list[int], seed: int, chunk: int
) -> None:
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    rng = random.Random(seed)
    before = Frontier()
    before.deliver(offsets)
    finished = set(rng.sample(offsets, rng.randint(0, len(offsets))))
    before.finish(sorted(finished))
    position = before.position
    assert position is not None
    text, _ = encode(position, before.finished_ahead)

    after = Frontier(position, decode(text, position))
    worked_on: list[int] = []
    again = [offset for offset in offsets if offset >= position]
    while again:
        already = after.deliver(again[:chunk])
        worked_on += [offset for offset in again[:chunk] if offset not in already]
        del again[:chunk]
        assert after.position == next((o for o in offsets if o not in finished), offsets[-1] + 1)
    assert worked_on == [offset for offset in offsets if offset not in finished]
    after.finish(worked_on)
    assert after.position == offsets[-1] + 1
    assert not after.finished_ahead


def test_what_compaction_took_away_is_forgotten() -> None:
    frontier = Frontier(10, {12, 14})
    assert not frontier.deliver([10, 13])
    assert not frontier.deliver([15])
    frontier.finish([10, 13, 15])
    assert frontier.position == 16
    assert not frontier.finished_ahead


def test_what_retention_took_away_is_not_said_to_be_finished_below_the_frontier() -> None:
    frontier = Frontier(5, {7, 30})
    frontier.deliver([9])  # 5 to 8 are gone, and 30 is yet to come
    frontier.finish([9])
    assert frontier.position == 10
    text, _ = encode(10, frontier.finished_ahead)
    assert decode(text, 10) == {30}


def test_a_gap_at_the_end_is_passed_over_only_when_nothing_is_unfinished() -> None:
    frontier = Frontier()
    frontier.deliver([4])
    assert not frontier.skip_to(9)
    frontier.finish([4])
    assert frontier.skip_to(9)
    assert frontier.position == 9
    assert not frontier.skip_to(7)


def test_offsets_that_do_not_rise_are_refused() -> None:
    frontier = Frontier()
    frontier.deliver([4, 5])
    with pytest.raises(ValueError, match="offset 5 was delivered after 5"):
        frontier.deliver([5, 6])


def test_held_offsets_are_counted() -> None:
    frontier = Frontier()
    frontier.deliver(range(10))
    frontier.finish(range(1, 10))
    assert len(frontier) == 10
    frontier.finish([0])
    assert len(frontier) == 0
