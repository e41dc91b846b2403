"""The commit frontier of a partition: how far everything is finished.

Hot path: `deliver` and `finish` take many offsets at once.
"""

from collections import deque
from collections.abc import Iterable


class Frontier:
    """Tracks delivered offsets until they are finished.

    Only delivered offsets count: gaps in the log (transaction markers, compaction) are passed
    over. `position` is the first delivered offset that is not finished; with nothing unfinished
    it is one past the last delivered, or further after `skip_to`.

    Raises:
        ValueError: from `deliver` when offsets do not rise.
    """

    __slots__ = ("_finished", "_next", "_pending")

    def __init__(self, position: int | None = None) -> None:
        self._next = position
        self._pending: deque[int] = deque()
        self._finished: set[int] = set()

    @property
    def position(self) -> int | None:
        """Offset to commit; `None` before anything was delivered."""
        return self._pending[0] if self._pending else self._next

    @property
    def idle(self) -> bool:
        """Whether all that was delivered is finished."""
        return not self._pending

    @property
    def highest_finished(self) -> int | None:
        """Highest offset that is finished ahead of its turn; `None` without any."""
        return max(self._finished, default=None)

    def __len__(self) -> int:
        """Offsets held: unfinished ones, and finished ones behind them."""
        return len(self._pending)

    def deliver(self, offsets: Iterable[int]) -> None:
        """Take note of delivered offsets, in rising order."""
        pending = self._pending
        before = pending[-1] if pending else (self._next or 0) - 1
        first_new = len(pending)
        pending.extend(offsets)
        if len(pending) > first_new:
            if pending[first_new] <= before:
                raise ValueError(f"offset {pending[first_new]} was delivered after {before}")
            self._next = pending[-1] + 1

    def finish(self, offsets: Iterable[int]) -> bool:
        """Mark offsets as finished; whether the position moved."""
        pending, finished = self._pending, self._finished
        finished.update(offsets)
        moved = False
        while pending and pending[0] in finished:
            finished.remove(pending.popleft())
            moved = True
        return moved

    def skip_to(self, position: int) -> bool:
        """With nothing unfinished, move over a gap at the end; whether the position moved."""
        if self._pending or (self._next is not None and position <= self._next):
            return False
        self._next = position
        return True
