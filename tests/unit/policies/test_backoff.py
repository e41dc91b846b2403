"""Waits between attempts."""

import math
import random
from collections.abc import Callable

import pytest

from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry


class Longest(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def longest_waits(backoff: Backoff, retries: int) -> list[float]:
    return [backoff.delay_seconds(retry, Longest()) for retry in range(1, retries + 1)]


def test_each_wait_may_be_longer_than_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(base_seconds=0.5, factor=3.0, max_seconds=10.0)
    assert longest_waits(backoff, 5) == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_without_settings_waits_begin_at_100_ms_and_double_up_to_half_a_minute() -> None:
    waits = longest_waits(retry().backoff, 12)
    assert waits[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert max(waits) == 30.0


def test_a_factor_of_one_keeps_the_wait() -> None:
    assert longest_waits(Backoff(base_seconds=2.0, factor=1.0), 3) == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("factor", [2.0, 2, 1e5])
def test_the_wait_before_a_late_retry_is_still_a_number(factor: float) -> None:
    for retry_number in (65, 66, 100_000):
        waits = Backoff(factor=factor, max_seconds=math.inf)
        assert math.isfinite(waits.delay_seconds(retry_number, Longest()))
        assert Backoff(factor=factor).delay_seconds(retry_number, Longest()) == 30.0
        assert Backoff(base_seconds=0.0, factor=factor).delay_seconds(retry_number, Longest()) == 0


def test_no_wait_at_all_can_be_asked_for() -> None:
    assert longest_waits(Backoff(base_seconds=0.0), 2) == [0.0, 0.0]
    assert longest_waits(Backoff(max_seconds=0.0), 2) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        (lambda: Backoff(base_seconds=-0.1), "must not be negative"),
        (lambda: Backoff(max_seconds=-0.1), "must not be negative"),
        (lambda: Backoff(factor=0.9), r"factor must be at least 1, not 0\.9"),
    ],
)
def test_a_wait_that_is_negative_or_shrinks_is_refused(
    slip: Callable[[], Backoff], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        slip()


def test_a_wait_below_a_second_is_allowed() -> None:
    assert Backoff(base_seconds=0.01, max_seconds=0.5).max_seconds == 0.5
