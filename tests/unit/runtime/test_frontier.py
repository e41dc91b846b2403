"""The commit frontier never passes an unfinished record."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.runtime.commit_metadata import decode, encode
from streamapp.runtime.frontier import Frontier


@settings(max_examples=1000)  # as many orders as the fault test asks for
@given(
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=60),
    seed=st.integers(),
    chunk=st.integers(1, 7),
)
def test_the_offset_is_always_the_first_unfinished_admitted_one(
    gaps: list[int], seed: int, chunk: int
) -> None:
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    rng = random.Random(seed)
    frontier = Frontier()
    admitted: list[int] = []
    finished: set[int] = set()
    waiting = list(offsets)
    while waiting or len(finished) < len(offsets):
        open_offsets = [offset for offset in admitted if offset not in finished]
        if waiting and (not open_offsets or rng.random() < 0.5):
            frontier.admit(waiting[:chunk])
            admitted += waiting[:chunk]
            del waiting[:chunk]
        else:
            done = rng.sample(open_offsets, rng.randint(1, len(open_offsets)))
            before = frontier.offset
            moved = frontier.finish(done)
            finished.update(done)
            assert moved == (frontier.offset != before)
        unfinished = [offset for offset in admitted if offset not in finished]
        assert frontier.offset == (unfinished[0] if unfinished else admitted[-1] + 1)
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
    before.admit(offsets)
    finished = set(rng.sample(offsets, rng.randint(0, len(offsets))))
    before.finish(sorted(finished))
    position = before.offset
    assert position is not None
    text, _ = encode(position, before.finished_ahead)

    after = Frontier(position, decode(text, position))
    worked_on: list[int] = []
    again = [offset for offset in offsets if offset >= position]
    while again:
        already = after.admit(again[:chunk])
        worked_on += [offset for offset in again[:chunk] if offset not in already]
        del again[:chunk]
        assert after.offset == next((o for o in offsets if o not in finished), offsets[-1] + 1)
    assert worked_on == [offset for offset in offsets if offset not in finished]
    after.finish(worked_on)
    assert after.offset == offsets[-1] + 1
    assert not after.finished_ahead


def test_what_compaction_took_away_is_forgotten() -> None:
    frontier = Frontier(10, {12, 14})
    assert not frontier.admit([10, 13])
    assert not frontier.admit([15])
    frontier.finish([10, 13, 15])
    assert frontier.offset == 16
    assert not frontier.finished_ahead


def test_what_retention_took_away_is_not_said_to_be_finished_below_the_frontier() -> None:
    frontier = Frontier(5, {7, 30})
    frontier.admit([9])  # 5 to 8 are gone, and 30 is yet to come
    frontier.finish([9])
    assert frontier.offset == 10
    text, _ = encode(10, frontier.finished_ahead)
    assert decode(text, 10) == {30}


def test_a_gap_at_the_end_is_passed_over_only_when_nothing_is_unfinished() -> None:
    frontier = Frontier()
    frontier.admit([4])
    assert not frontier.skip_to(9)
    frontier.finish([4])
    assert frontier.skip_to(9)
    assert frontier.offset == 9
    assert not frontier.skip_to(7)


def test_offsets_that_do_not_rise_are_refused() -> None:
    frontier = Frontier()
    frontier.admit([4, 5])
    with pytest.raises(ValueError, match="offset 5 was admitted after 5"):
        frontier.admit([5, 6])


def test_held_offsets_are_counted() -> None:
    frontier = Frontier()
    frontier.admit(range(10))
    frontier.finish(range(1, 10))
    assert len(frontier) == 10
    frontier.finish([0])
    assert len(frontier) == 0


def test_before_anything_was_admitted_nothing_is_known() -> None:
    frontier = Frontier()
    assert frontier.offset is None
    assert frontier.admitted_until == 0
    assert frontier.idle
    assert list(frontier.admit([])) == []
    assert frontier.offset is None


def test_what_is_finished_is_not_taken_a_second_time() -> None:
    frontier = Frontier()
    frontier.admit([4, 5])
    frontier.finish([4, 5])
    with pytest.raises(ValueError, match="offset 5 was admitted after 5"):
        frontier.admit([5])
    frontier.admit([6])
    assert frontier.admitted_until == 7


def test_the_position_passes_what_an_earlier_owner_has_finished_as_soon_as_it_comes() -> None:
    frontier = Frontier(10, {12, 13, 15})  # 10 and 11 are not in the log any more
    assert set(frontier.admit([12, 13, 14, 15])) == {12, 13, 15}
    assert frontier.offset == 14
    frontier.finish([14])
    assert frontier.offset == 16


def test_the_first_offset_of_a_partition_may_have_been_finished() -> None:
    frontier = Frontier(0, {0})
    assert set(frontier.admit([0, 1])) == {0}
    assert frontier.offset == 1


def test_moving_over_a_gap_to_where_it_is_does_not_count_as_moving() -> None:
    frontier = Frontier(5)
    assert frontier.skip_to(9)
    assert not frontier.skip_to(9)
    assert frontier.offset == frontier.admitted_until == 9


def test_what_lies_in_a_gap_is_no_longer_said_to_be_finished() -> None:
    frontier = Frontier(5, {7, 20, 30})
    frontier.skip_to(20)
    assert set(frontier.finished_ahead) == {20, 30}


def test_what_is_done_with_does_not_fill_the_memory() -> None:
    frontier = Frontier()
    for start in range(0, 40_000, 2000):
        frontier.admit(range(start, start + 2000))
        frontier.finish(range(start, start + 2000))
    assert len(frontier._pending) < 5000
    assert frontier.offset == 40_000


def test_what_is_unfinished_is_kept_when_what_is_done_with_is_forgotten() -> None:
    frontier = Frontier()
    frontier.admit(list(range(3000)))
    frontier.finish(list(range(2000)))
    frontier.finish(list(range(2001, 3000)))
    assert (frontier.offset, len(frontier)) == (2000, 1000)
    frontier.finish([2000])
    assert (frontier.offset, len(frontier)) == (3000, 0)


def test_restored_offsets_move_the_position_and_those_beyond_it_need_no_work() -> None:
    frontier = Frontier(10, {13})
    frontier.restore([10, 11, 15])
    assert frontier.offset == 12
    assert set(frontier.finished_ahead) == {13, 15}
    assert frontier.admit([12, 13, 14, 15, 16]) == {13, 15}
    frontier.finish([12])
    assert frontier.offset == 14
    frontier.finish([14])
    assert frontier.offset == 16
