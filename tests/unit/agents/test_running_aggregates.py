"""Running aggregates: figures as exact as they say, for a bounded number of keys."""

import logging
import math
import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.clock import clock_in_use
from tests.hand_clock import HandClock
from tests.unit.agents.built import built, faults, refused

ALL = ["count", "sum", "mean", "min", "max"]


def _last(numbers: Sequence[float], **settings: Any) -> dict[str, Any]:
    """The figures after the last number."""
    agent = built("RunningAggregates", {"key": "k", "value": "n", **settings})
    found: dict[str, Any] = {}
    for number in numbers:
        found = agent({"k": "a", "n": number})
    return found


@given(st.lists(st.integers(-(10**30), 10**30), min_size=1))
def test_figures_of_integers_are_exact(numbers: list[int]) -> None:
    found = _last(numbers, figures=ALL)
    assert found["count"] == len(numbers)
    assert found["sum"] == sum(numbers)
    assert type(found["sum"]) is int
    assert found["mean"] == sum(numbers) / len(numbers)
    assert (found["min"], found["max"]) == (min(numbers), max(numbers))


NUMBERS = st.floats(-1e100, 1e100) | st.integers(-(10**15), 10**15)


@given(st.lists(NUMBERS, min_size=1))
def test_a_sum_loses_almost_nothing_to_rounding(numbers: list[float]) -> None:
    found = _last(numbers, figures=ALL)
    size = math.fsum(map(abs, numbers))
    assert math.isclose(found["sum"], math.fsum(numbers), rel_tol=1e-15, abs_tol=1e-15 * size)
    assert found["mean"] == found["sum"] / len(numbers)


def test_small_numbers_are_not_lost_beside_large_ones() -> None:
    assert _last([1e16, *[1.0] * 1000, -1e16], figures=["sum"])["sum"] == 1000


@given(
    st.lists(st.floats(-1e9, 1e9).filter(lambda n: n == 0 or abs(n) > 1e-9), min_size=1),
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.99, 1.0]),
    st.sampled_from([0.001, 0.01, 0.1]),
)
def test_quantiles_are_as_exact_as_they_say(
    numbers: list[float], share: float, error: float
) -> None:
    name = f"p{share * 100:g}"
    found = _last(numbers, figures=[], quantiles=[share], relative_error=error)[name]
    rank = share * (len(numbers) - 1)
    below, above = (sorted(numbers)[f(rank)] for f in (math.floor, math.ceil))
    margin = error * 1.0001
    assert below - margin * abs(below) <= found <= above + margin * abs(above)


def test_a_median_of_many_is_that_of_statistics() -> None:
    numbers = [n * n for n in range(1, 2000)]
    found = _last(numbers, figures=[], quantiles=[0.5, 0.999])
    assert math.isclose(found["p50"], statistics.median(numbers), rel_tol=0.011)
    assert math.isclose(found["p99.9"], 1998**2, rel_tol=0.02)


def test_each_key_has_its_own_figures() -> None:
    agent = built("RunningAggregates", {"key": "k"})
    keys = ["a", "b", "a", 1, "1", True, "a"]
    assert [agent({"k": key})["count"] for key in keys] == [1, 1, 2, 1, 1, 1, 3]
    assert agent({"k": "a"})["key"] == "a"


def test_figures_can_be_put_into_the_object() -> None:
    agent = built("RunningAggregates", {"key": "k", "into": "so.far"})
    value = {"k": "a", "so": {"good": True}}
    found = agent(value)
    assert found["so"]["good"] is True
    assert found["so"]["far"]["count"] == 1
    assert value == {"k": "a", "so": {"good": True}}


def test_beyond_the_bound_the_key_that_was_idle_for_longest_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = built("RunningAggregates", {"key": "k", "max_keys": 2})
    clock = HandClock(time=1_700_000_000.0)
    with clock_in_use(clock), caplog.at_level(logging.WARNING):
        found = []
        for key in ("a", "b", "a", "c", "a", "b", "c"):
            found.append(agent({"k": key}))
            clock.advance(1)
    assert [one["count"] for one in found] == [1, 1, 2, 1, 3, 1, 1]
    assert found[4]["since"] == "2023-11-14T22:13:20.000Z"
    assert found[5]["since"] == "2023-11-14T22:13:25.000Z"
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"n": 1}, "k: the key is missing"),
        ({"k": {}, "n": 1}, "k: an object is no key"),
        ({"k": "a"}, "n is missing, not a number"),
        ({"k": "a", "n": "1"}, "n is a text, not a number"),
        ({"k": "a", "n": True}, "n is a boolean, not a number"),
        ({"k": "a", "n": 10**301}, "n: the number is too large to be added"),
        ({"k": "a", "n": math.inf}, "n: the number is too large to be added"),
        ({"k": "a", "n": math.nan}, "n: the number is too large to be added"),
    ],
)
def test_a_record_that_does_not_fit_counts_nowhere(value: dict[str, Any], why: str) -> None:
    agent = built("RunningAggregates", {"key": "k", "value": "n", "figures": ALL})
    agent({"k": "a", "n": 2})
    assert refused(agent, value) == why
    found = agent({"k": "a", "n": 4})
    assert [found[figure] for figure in ALL] == [2, 6, 3, 2, 4]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"figures": ["sum"]}, "'sum' needs a number; give its path as 'value'"),
        ({"quantiles": [0.5]}, "'quantiles' needs a number; give its path as 'value'"),
        ({"figures": []}, "give 'figures', 'quantiles', or both"),
        ({"value": "n", "quantiles": [50]}, "quantiles[0]: should be less than or equal to 1"),
        ({"relative_error": 0}, "relative_error: should be greater than or equal to 0.001"),
        ({"max_keys": 0}, "max_keys: should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(settings: dict[str, Any], why: str) -> None:
    assert why in faults("RunningAggregates", {"key": "k", **settings})[0]
