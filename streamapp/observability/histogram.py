"""A histogram with a cheap `observe`: a bit length and a list increment.

Hot path: the runtime counts a duration for each record and attempt. The bounds of the buckets are
powers of two of a base unit, so that the bucket of a value is found without a search.
"""

from collections.abc import Sequence


class Histogram:
    """Counts of whole units in buckets whose bounds double.

    Bucket `i` holds the values `v` with `v.bit_length() == i`, so its upper bound is
    `2**i - 1` units; the last bucket has all larger values.

    Attributes:
        unit_seconds: length of one unit in seconds; 1 where records are counted instead of time.
        counts: observations by bucket, not cumulative.
        last: index of the last, unbounded bucket.
        total: sum of all observed units.
    """

    __slots__ = ("counts", "last", "total", "unit_seconds")

    def __init__(self, unit_seconds: float, buckets: int) -> None:
        self.unit_seconds = unit_seconds
        self.counts = [0] * buckets
        self.last = buckets - 1
        self.total = 0

    def observe(self, units: int) -> None:
        """Count one value, in units; a negative one (clocks differ) counts as zero."""
        # No max() and min() here: each call would cost as much as all the rest.
        if units < 0:  # noqa: PLR1730 - see above
            units = 0
        bucket = units.bit_length()
        self.counts[bucket if bucket < self.last else self.last] += 1  # noqa: FURB136 - see above
        self.total += units

    def add(self, bucket: int, count: int) -> None:
        """Count values by the bit length of their units; their sum is left to the caller."""
        self.counts[min(bucket, self.last)] += count

    def upper_bounds_seconds(self) -> list[float]:
        """Upper bound of every bucket but the last, which has none."""
        return [((1 << i) - 1) * self.unit_seconds for i in range(self.last)]

    def quantile_seconds(self, q: float) -> float | None:
        """Upper bound of the bucket that holds the quantile `q`; `None` without observations."""
        return quantile_seconds(self.counts, q, self.unit_seconds)


def quantile_seconds(counts: Sequence[int], q: float, unit_seconds: float) -> float | None:
    """Upper bound of the bucket that holds the quantile `q` of counts by bucket of a `Histogram`.

    `None` without observations.
    """
    count = sum(counts)
    if not count:
        return None
    below = 0
    for i, n in enumerate(counts):
        below += n
        if below >= q * count:
            return ((1 << min(i, len(counts) - 2)) - 1) * unit_seconds
    return None  # pragma: no cover - the counts add up to count
