"""Counts of what happened lately, in bounded memory."""

import math
from collections import deque
from collections.abc import Sequence

_BUCKETS = 10
"""How finely a window slides: it is exact to a tenth of its length."""


class _Bucket:
    """Counts of a tenth of the window."""

    __slots__ = ("began", "counts", "ended", "size")

    def __init__(self, began: float, kinds: int) -> None:
        self.began = began
        self.ended = began
        self.counts = [0] * kinds
        self.size = 0


class Window:
    """Counts, by kind, of the latest `seconds`, and at most a tenth more.

    With `most`, it is also of about that many counts only: under a high rate the window is short,
    so that what changes is seen at once, not when a whole window of earlier counts has passed.
    It has at most two dozen buckets, whatever the rate.

    Args:
        kinds: number of kinds, which are numbered from 0.
        seconds: length.
        most: older buckets are forgotten when the later ones have so many counts.
    """

    __slots__ = ("_bucket_size", "_buckets", "_kinds", "_most", "_seconds", "_size", "_totals")

    def __init__(self, kinds: int, seconds: float, most: float = math.inf) -> None:
        self._kinds = kinds
        self._seconds = seconds
        self._most = most
        self._bucket_size = most / _BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._buckets: deque[_Bucket] = deque()
        self._totals = [0] * self._kinds
        self._size = 0

    def add(self, kind: int, now: float, count: int = 1) -> None:
        """Count what happened at `now`, in seconds on a clock that never goes back."""
        bucket = self._bucket(now)
        bucket.ended = now
        bucket.counts[kind] += count
        bucket.size += count
        self._totals[kind] += count
        self._size += count

    def totals(self, now: float) -> Sequence[int]:
        """The counts by kind; the same list is changed later."""
        buckets = self._buckets
        while buckets and (
            buckets[0].ended <= now - self._seconds or self._size - buckets[0].size >= self._most
        ):
            self._forget(buckets.popleft())
        return self._totals

    def oldest_leaves_at(self) -> float | None:
        """When the first counts will be too old; `None` if there are none."""
        return self._buckets[0].ended + self._seconds if self._buckets else None

    def _bucket(self, now: float) -> _Bucket:
        last = self._buckets[-1] if self._buckets else None
        if (
            last is None
            or now - last.began >= self._seconds / _BUCKETS
            or last.size >= self._bucket_size
        ):
            self.totals(now)
            last = _Bucket(now, self._kinds)
            self._buckets.append(last)
        return last

    def _forget(self, bucket: _Bucket) -> None:
        for kind, count in enumerate(bucket.counts):
            self._totals[kind] -= count
        self._size -= bucket.size
