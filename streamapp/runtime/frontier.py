"""The commit frontier of a partition: how far everything is finished, and what is beyond it.

Hot path: `deliver` and `finish` take many offsets at once.
"""

from collections.abc import Collection, Iterable, Sequence

MIN_FORGOTTEN = 1024
"""Finished offsets before the position that are kept until they are forgotten at once."""


class Frontier:
    """Tracks delivered offsets until they are finished.

    Only delivered offsets count: gaps in the log (transaction markers, compaction) are passed
    over. `position` is the first delivered offset that is not finished; with nothing unfinished
    it is one past the last delivered, or further after `skip_to`.

    Args:
        position: where reading goes on, if that is known.
        finished: offsets from there on that an earlier owner has finished; they are not worked on
            again when they are delivered.

    Raises:
        ValueError: from `deliver` when offsets do not rise.
    """

    __slots__ = ("_finished", "_head", "_next", "_pending", "_restored_until")

    def __init__(self, position: int | None = None, finished: Iterable[int] = ()) -> None:
        self._next = position
        self._pending: list[int] = []  # delivered, from `_head` on; what stands before is done with
        self._head = 0
        self._finished: set[int] = set(finished)
        self._restored_until = max(self._finished, default=-1)

    @property
    def position(self) -> int | None:
        """Offset to commit; `None` before anything was delivered."""
        return self._next if self.idle else self._pending[self._head]

    @property
    def delivered_until(self) -> int:
        """One past the last delivered offset, or further after `skip_to`; 0 if none is known."""
        return self._next or 0

    @property
    def idle(self) -> bool:
        """Whether all that was delivered is finished."""
        return self._head == len(self._pending)

    @property
    def finished_ahead(self) -> Collection[int]:
        """Offsets that are finished ahead of their turn; do not change it."""
        return self._finished

    def __len__(self) -> int:
        """Offsets held: unfinished ones, and finished ones behind them."""
        return len(self._pending) - self._head

    def deliver(self, offsets: Sequence[int]) -> Collection[int]:
        """Take note of delivered offsets, in rising order.

        Returns:
            Those that are finished already: nobody is to work on them.
        """
        if not offsets:
            return ()
        pending = self._pending
        before = (self._next or 0) - 1 if self.idle else pending[-1]
        if offsets[0] <= before:
            raise ValueError(f"offset {offsets[0]} was delivered after {before}")
        pending.extend(offsets)
        self._next = offsets[-1] + 1
        if self._restored_until < 0:
            return ()
        already = self._finished.intersection(offsets)
        # What was restored and is passed over now is not in the log any more.
        passed = {offset for offset in self._finished if offset <= offsets[-1]}
        self._finished -= passed.difference(pending[self._head :])
        if offsets[-1] >= self._restored_until:
            self._restored_until = -1
        self._advance()
        return already

    def finish(self, offsets: Sequence[int]) -> bool:
        """Mark offsets as finished; whether the position moved."""
        head = self._head
        following = head + len(offsets)
        if self._pending[head:following] == offsets:  # they are all the next ones, as most are
            self._head = following
            self._advance()
            return bool(offsets)
        self._finished.update(offsets)
        return self._advance()

    def skip_to(self, position: int) -> bool:
        """With nothing unfinished, move over a gap at the end; whether the position moved."""
        if not self.idle or (self._next is not None and position <= self._next):
            return False
        self._next = position
        if self._finished:
            self._finished = {offset for offset in self._finished if offset >= position}
        return True

    def _advance(self) -> bool:
        pending, finished, head = self._pending, self._finished, self._head
        if finished:
            while head < len(pending) and pending[head] in finished:
                finished.remove(pending[head])
                head += 1
        moved = head > self._head
        self._head = head
        if head > MIN_FORGOTTEN and 2 * head > len(pending):
            del pending[:head]  # half of the list at least: constant cost for each offset
            self._head = 0
        return moved
