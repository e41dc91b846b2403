"""Limits of a minute: never exceeded by what is counted before its use, and no wait in vain."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streamapp.agents.per_minute import PerMinute


# Whole seconds, so that nothing is rounded.
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 5))
def test_no_minute_has_more_calls_than_allowed_and_none_waits_in_vain(
    pauses: Sequence[int], limit: int
) -> None:
    calls = PerMinute(limit)
    now, made = 1000.0, list[float]()
    for pause in pauses:
        now += pause
        wait = calls.wait_seconds(now)
        recent = [then for then in made if now - then < 60]
        assert (wait == 0) is (len(recent) < limit)
        now += wait
        assert calls.wait_seconds(now) == 0
        calls.count(1, now)
        made.append(now)
    for begin in made:
        assert sum(begin <= then < begin + 60 for then in made) <= limit


def test_a_large_amount_is_waited_for_until_it_is_a_minute_old() -> None:
    tokens = PerMinute(100)
    tokens.count(60, 0)
    assert tokens.wait_seconds(10) == 0
    tokens.count(500, 10)
    assert tokens.wait_seconds(20) == 50
    assert tokens.wait_seconds(69.5) == 0.5
    assert tokens.wait_seconds(70) == 0


def test_without_a_limit_nothing_waits_and_nothing_is_kept() -> None:
    calls = PerMinute(None)
    for _ in range(1000):
        calls.count(1, 0)
    assert calls.wait_seconds(0) == 0
    assert not calls._counted
