"""Durations and ages of whole slices are those of their records one by one."""

import random
from collections import Counter

import pytest

from streamapp.observability.histogram import Histogram
from streamapp.observability.meter import NO_TIMESTAMP, observe_ages, observe_durations


def seconds() -> Histogram:
    return Histogram(unit_seconds=1e-3, buckets=34)


def test_durations_are_counted_in_microseconds() -> None:
    histogram = Histogram(unit_seconds=1e-6, buckets=32)
    observe_durations(histogram, [10.0, 10.0, 20.0], [10.5, 11.0, 20.0])
    assert histogram.total == 1_500_000
    assert sum(histogram.counts) == 3


def test_each_age_is_the_time_of_its_end_less_its_timestamp() -> None:
    histogram = seconds()
    observe_ages(histogram, [1000, 2000, 3000], [1.5, 1.5, 7.5], 2.0)
    assert histogram.total == 2500 + 1500 + 6500
    assert sum(histogram.counts) == 3


def test_a_record_without_a_timestamp_has_no_age_and_one_ahead_of_us_is_new() -> None:
    histogram = seconds()
    observe_ages(histogram, [NO_TIMESTAMP, 9000, 1000], [2.0, 2.0, 2.0], 0.0)
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
    observe_ages(at_once, stamps, ended, offset)
    for stamp, at in zip(stamps, ended, strict=True):
        if stamp != NO_TIMESTAMP:
            one_by_one.observe(int((at + offset) * 1000) - stamp)
    assert at_once.counts == one_by_one.counts
    assert at_once.total == one_by_one.total


def test_counted_values_stand_where_single_ones_do() -> None:
    values = [-3, 0, 0, 1, 2, 3, 3, 3, 40, 10**9]
    single, counted = Histogram(1.0, 6), Histogram(1.0, 6)
    for value in values:
        single.observe(value)
    counted.observe_counted(Counter(values))
    assert counted.counts == single.counts
    assert counted.total == single.total
