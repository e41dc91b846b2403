"""Durations of attempts and ages of records, taken over by slice.

Hot path: a slice costs a few calls of compiled functions for each record and no bytecode.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from operator import mul, sub

from streamapp.observability.histogram import Histogram

NO_TIMESTAMP = -1
"""What Kafka writes for a record without a timestamp."""


def observe_durations(
    histogram: Histogram, started: Sequence[float], ended: Sequence[float]
) -> None:
    """Count how long attempts took.

    Args:
        histogram: counts microseconds.
        started: monotonic seconds.
        ended: the same, one for each start.
    """
    units = map(int, map(mul, map(sub, ended, started), repeat(1e6)))
    histogram.observe_counted(Counter(units))


def observe_ages(
    histogram: Histogram,
    timestamps: Sequence[int],
    ended: Sequence[float],
    wall_less_monotonic: float,
) -> None:
    """Count how old records were when they ended.

    Args:
        histogram: counts milliseconds.
        timestamps: milliseconds since the epoch; -1 is a record without one, which has no age.
        ended: monotonic seconds, one for each timestamp, rising.
        wall_less_monotonic: seconds from a monotonic reading to the wall clock.
    """
    first, count = 0, len(ended)
    while first < count:
        # All that ended within the same millisecond have the same time less their timestamps.
        now_ms = int((ended[first] + wall_less_monotonic) * 1000)
        last = bisect_left(ended, (now_ms + 1) / 1000 - wall_less_monotonic, first + 1, count)
        ages = Counter(map(sub, repeat(now_ms), timestamps[first:last]))
        ages.pop(now_ms - NO_TIMESTAMP, None)
        histogram.observe_counted(ages)
        first = last
