"""Counts in buckets whose bounds double."""

import pytest

from streamapp.observability.histogram import Histogram


def observed(*units: int, buckets: int = 6) -> Histogram:
    histogram = Histogram(unit_seconds=0.5, buckets=buckets)
    for value in units:
        histogram.observe(value)
    return histogram


def test_a_value_stands_in_the_first_bucket_whose_bound_is_not_below_it() -> None:
    assert observed(0, 1, 2, 3, 4, 7, 8).counts == [1, 1, 2, 2, 1, 0]
    assert observed().upper_bounds_seconds() == [0.0, 0.5, 1.5, 3.5, 7.5]


def test_what_is_larger_than_every_bound_stands_in_the_last_bucket() -> None:
    assert observed(15, 16, 31, 32, 10**9).counts == [0, 0, 0, 0, 1, 4]


def test_a_negative_value_counts_as_zero() -> None:
    histogram = observed(-5, 3)
    assert histogram.counts == [1, 0, 1, 0, 0, 0]
    assert histogram.total == 3


@pytest.mark.parametrize(
    ("quantile", "seconds"), [(0.01, 0.0), (0.25, 0.0), (0.5, 0.5), (0.51, 3.5), (1.0, 3.5)]
)
def test_a_quantile_is_the_bound_of_its_bucket(quantile: float, seconds: float) -> None:
    assert observed(0, 1, 4, 7).quantile_seconds(quantile) == seconds


def test_a_quantile_beyond_every_bound_is_the_highest_bound() -> None:
    assert observed(10**9).quantile_seconds(0.5) == 7.5
    assert observed(9).quantile_seconds(0.5) == 7.5


def test_without_observations_there_is_no_quantile() -> None:
    assert observed().quantile_seconds(0.5) is None
