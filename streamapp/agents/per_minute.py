"""Limits of calls and tokens in any minute."""

from collections import deque

_MINUTE = 60.0


class PerMinute:
    """Counts amounts, of which only so many are allowed in any 60 seconds.

    An amount may be counted when it is known, which may be after it was used: then more than the
    limit is used once, and nothing is allowed until enough of it is a minute old.

    Args:
        limit: most that is allowed in any minute; `None` for any.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counted: deque[tuple[float, int]] = deque()
        self._total = 0

    def wait_seconds(self, now: float) -> float:
        """Seconds until something is allowed again; 0 if it is now."""
        if self._limit is None:
            return 0.0
        while self._counted and now - self._counted[0][0] >= _MINUTE:
            self._total -= self._counted.popleft()[1]
        left = self._total
        for then, amount in self._counted:
            if left < self._limit:
                break
            left -= amount
            if left < self._limit:
                return then + _MINUTE - now
        return 0.0

    def count(self, amount: int, now: float) -> None:
        """Count an amount."""
        if self._limit is not None and amount:
            self._counted.append((now, amount))
            self._total += amount
