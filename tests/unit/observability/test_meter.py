"""Durations and ages of whole slices are those of their records one by one."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.observability.histogram import Histogram
from streamapp.observability.meter import NO_TIMESTAMP, observe_ages, observe_durations


def seconds() -> Histogram:
    return Histogram(unit_seconds=1e-3, buckets=34)


def attempts_of(durations: list[float]) -> list[float]:
    """Beginning and end of an attempt for each duration."""
    return [mark for duration in durations for mark in (0.0, duration)]


def test_durations_are_counted_in_microseconds() -> None:
    histogram = Histogram(unit_seconds=1e-6, buckets=32)
    observe_durations(histogram, [10.0, 10.5, 11.5, 11.5], 0, 1)
    assert histogram.total == 1_500_000
    assert sum(histogram.counts) == 3


def test_each_age_is_the_time_of_its_end_less_its_timestamp() -> None:
    histogram = seconds()
    observe_ages(histogram, [1000, 2000, 3000], [1.0, 1.5, 1.5, 7.5], 1, 2.0)
    assert histogram.total == 2500 + 1500 + 6500
    assert sum(histogram.counts) == 3


def test_a_record_without_a_timestamp_has_no_age_and_one_ahead_of_us_is_new() -> None:
    histogram = seconds()
    observe_ages(histogram, [NO_TIMESTAMP, 9000, 1000], [1.0, 2.0, 2.0, 2.0], 1, 0.0)
    assert sum(histogram.counts) == 2
    assert histogram.counts[0] == 1
    assert histogram.total == 1000


@pytest.mark.parametrize("seed", range(20))
def test_a_slice_is_counted_as_its_records_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    ended = sorted(rng.uniform(5.0, 5.0 + rng.choice([0.002, 0.05, 3.0])) for _ in range(200))
    stamps = [rng.choice([NO_TIMESTAMP, rng.randrange(100_000)]) for _ in ended]
    offset = rng.uniform(0.0, 100.0)
    at_once, one_by_one = seconds(), seconds()
    observe_ages(at_once, stamps, [0.0, *ended], 1, offset)
    for stamp, at in zip(stamps, ended, strict=True):
        if stamp != NO_TIMESTAMP:
            one_by_one.observe(int((at + offset) * 1000) - stamp)
    assert at_once.counts == one_by_one.counts
    assert at_once.total == one_by_one.total


@given(
    st.lists(st.integers(-1, 100_000), min_size=1, max_size=60),
    st.integers(0, 90_000),
    st.integers(0, 100),
)
def test_ages_of_any_records_are_counted_as_one_by_one(
    stamps: list[int], first: int, last: int
) -> None:
    """Records of one slice end within milliseconds, and some are ahead of us."""
    ended = sorted(first / 1000 + n % (last + 1) / 1000 + 0.0005 for n in range(len(stamps)))
    at_once, one_by_one = seconds(), seconds()
    observe_ages(at_once, stamps, [0.0, *ended], 1, 0.0)
    for stamp, at in zip(stamps, ended, strict=True):
        if stamp != NO_TIMESTAMP:
            one_by_one.observe(int(at * 1000) - stamp)
    assert at_once.counts == one_by_one.counts
    assert at_once.total == one_by_one.total


@given(st.lists(st.integers(0, 5_000_000_000), min_size=1, max_size=60))
def test_durations_of_any_attempts_are_counted_as_one_by_one(microseconds: list[int]) -> None:
    at_once = Histogram(unit_seconds=1e-6, buckets=32)
    one_by_one = Histogram(unit_seconds=1e-6, buckets=32)
    durations = [(one + 0.5) * 1e-6 for one in microseconds]
    observe_durations(at_once, attempts_of(durations), 0, 2)
    for duration in durations:
        one_by_one.observe(int(duration * 1e6))
    assert at_once.counts == one_by_one.counts
    # Halves of a microsecond are not lost.
    assert at_once.total == round(sum(durations) * 1e6) >= one_by_one.total


def test_a_duration_at_a_bound_is_in_the_bucket_above_it() -> None:
    bounds = [(1 << n) * 1e-6 for n in range(31)]
    histogram = Histogram(unit_seconds=1e-6, buckets=33)
    observe_durations(histogram, attempts_of(bounds), 0, 2)
    assert histogram.counts == [0, *(1 for _ in bounds), 0]
