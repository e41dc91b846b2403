"""The commit frontier never passes an unfinished record."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.runtime.frontier import Frontier


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
