"""Durations of attempts and ages of records, taken over by slice.

Hot path: a slice costs a few calls of compiled functions for each record and hardly any bytecode,
because the values of a bucket are counted at once. `benchmarks/metering.py` says what that takes.
"""

from bisect import bisect_left
from collections.abc import Sequence
from operator import sub

from streamapp.native_leaves import SELECTED, native
from streamapp.observability.histogram import Histogram

NO_TIMESTAMP = -1
"""What Kafka writes for a record without a timestamp."""


def _observe_durations(
    histogram: Histogram, marks: Sequence[float], first: int = 0, each: int = 1
) -> None:
    """Count how long attempts took.

    Args:
        histogram: counts microseconds.
        marks: monotonic seconds; an attempt began at one and ended at the next.
        first: index of the mark at which the first attempt began.
        each: how many marks further the next one began.
    """
    durations = list(map(sub, marks[first + 1 :: each], marks[first:-1:each]))
    histogram.total += max(0, round(sum(durations) * 1e6))
    # Most are in one bucket or two, so to take out one after the other is quicker than to sort.
    # The shortest is below its bound, since a power of two of 1e-6, times 1e6, is exact.
    while durations:
        bucket = max(0, int(min(durations) * 1e6)).bit_length()
        bound = (1 << bucket) * 1e-6
        longer = [one for one in durations if one >= bound]
        histogram.add(bucket, len(durations) - len(longer))
        durations = longer


def _observe_ages(
    histogram: Histogram,
    timestamps: Sequence[int],
    marks: Sequence[float],
    each: int,
    wall_less_monotonic: float,
) -> None:
    """Count how old records were when they ended.

    Args:
        histogram: counts milliseconds.
        timestamps: milliseconds since the epoch; -1 is a record without one, which has no age.
        marks: monotonic seconds, rising; a record ended at every `each`th, not counting the first.
        each: as said.
        wall_less_monotonic: seconds from a monotonic reading to the wall clock.
    """
    ended = marks[each::each]
    first, count = 0, len(ended)
    while first < count:
        # All that ended within the same millisecond have the same time less their timestamps.
        now_ms = int((ended[first] + wall_less_monotonic) * 1000)
        last = bisect_left(ended, (now_ms + 1) / 1000 - wall_less_monotonic, first + 1, count)
        _observe_ages_at(histogram, sorted(timestamps[first:last]), now_ms)
        first = last


def _observe_ages_at(histogram: Histogram, timestamps: list[int], now_ms: int) -> None:
    """Count how old records with these sorted timestamps are at a time in milliseconds."""
    if timestamps[0] <= NO_TIMESTAMP:
        timestamps = [one for one in timestamps if one != NO_TIMESTAMP]
    past = bisect_left(timestamps, now_ms)
    histogram.add(0, len(timestamps) - past)
    histogram.total += past * now_ms - sum(timestamps[:past])
    while past:
        bucket = (now_ms - timestamps[past - 1]).bit_length()
        older = bisect_left(timestamps, now_ms - (1 << bucket) + 1, 0, past)
        histogram.add(bucket, past - older)
        past = older


if SELECTED.is_native:
    observe_durations, observe_ages = native.observe_durations, native.observe_ages
else:
    observe_durations, observe_ages = _observe_durations, _observe_ages
