"""What was put in lately: a bounded number, for a bounded time."""

from collections import OrderedDict
from typing import Generic, TypeVar

ValueT = TypeVar("ValueT")


class Recent(Generic[ValueT]):
    """Values by key, of which the oldest are forgotten.

    Args:
        max_entries: most values that are kept.
        max_age_seconds: how long one is kept.
        max_bytes: most bytes of all values, as `put` is told; by default any number.
    """

    def __init__(
        self, max_entries: int, max_age_seconds: float, max_bytes: float = float("inf")
    ) -> None:
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[object, tuple[ValueT, float, int]] = OrderedDict()

    def get(self, key: object, now: float) -> ValueT | None:
        """The value of a key, if it is not too old.

        Args:
            key: the key.
            now: seconds on the clock that `put` is told of.
        """
        found = self._kept.get(key)
        if found is None or now - found[1] >= self._max_age_seconds:
            return None
        return found[0]

    def put(self, key: object, value: ValueT, now: float, size_bytes: int = 0) -> None:
        """Keep a value as the youngest; one that is too large alone is not kept."""
        self._forget(key)
        if size_bytes > self._max_bytes:
            return
        self._kept[key] = value, now, size_bytes
        self._bytes += size_bytes
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))
        self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        while self._kept:
            key, (_, then, _) = next(iter(self._kept.items()))
            if now - then < self._max_age_seconds:
                return
            self._forget(key)

    def _forget(self, key: object) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= found[2]
