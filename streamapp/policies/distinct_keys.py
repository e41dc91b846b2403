"""Which of the keys that were seen lately failed."""

from collections import OrderedDict
from collections.abc import Hashable

MOST_KEYS = 256
"""Most keys that are remembered, the latest. Where a third of all keys fails, more than half of so
many do not fail by chance (5.8 standard deviations); and what fails from now on is seen after half
of them, not after all the keys of a window."""

_RUNS = 10
"""A run of successes without keys takes in what follows for a tenth of the window."""


class _Seen:
    """A key, or a run of keys that nobody told, as it was seen last."""

    __slots__ = ("at", "failed", "keys")

    def __init__(self, at: float, keys: int, *, failed: bool) -> None:
        self.at = at
        self.keys = keys
        self.failed = failed


class DistinctKeys:
    """The latest keys, at most 256 and none older than `seconds`, each with its latest outcome.

    Only hashes are kept, so the memory does not depend on how long keys are. Successes whose keys
    are not told count as one key each.

    Attributes:
        distinct: how many keys were seen.
        failing: how many of them failed when they were seen last.
    """

    __slots__ = ("_run", "_runs", "_seconds", "_seen", "distinct", "failing")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.clear()

    def clear(self) -> None:
        """Forget all keys."""
        self._seen: OrderedDict[Hashable, _Seen] = OrderedDict()
        self._run: tuple[_Seen, float] | None = None  # and until when it takes in more
        self._runs = 0
        self.distinct = 0
        self.failing = 0

    def see(self, key: Hashable, now: float, *, failed: bool) -> None:
        """Note the outcome of a key."""
        hashed = hash(key)
        if (before := self._seen.pop(hashed, None)) is not None:
            self._subtract(before)
        self._add(hashed, _Seen(now, 1, failed=failed))
        self._run = None
        self.forget(now)

    def see_successes(self, count: int, now: float) -> None:
        """Note successes whose keys are not told."""
        if self._run is not None and now < self._run[1]:
            run = self._run[0]
            self.distinct += count
            run.keys += count
            run.at = now
        else:
            self._runs += 1
            run = _Seen(now, count, failed=False)
            self._run = (run, now + self._seconds / _RUNS)
            self._add(("run", self._runs), run)
        self.forget(now)

    def forget(self, now: float) -> None:
        """Forget the oldest keys: those before the window, and those that are too many."""
        seen = self._seen
        while seen:
            key, oldest = next(iter(seen.items()))
            excess = self.distinct - MOST_KEYS
            if oldest.at > now - self._seconds and excess < oldest.keys:
                if excess > 0:
                    oldest.keys -= excess
                    self.distinct -= excess
                return
            del seen[key]
            self._subtract(oldest)
        self._run = None

    def _add(self, key: Hashable, seen: _Seen) -> None:
        self._seen[key] = seen
        self.distinct += seen.keys
        self.failing += seen.failed

    def _subtract(self, seen: _Seen) -> None:
        self.distinct -= seen.keys
        self.failing -= seen.failed
