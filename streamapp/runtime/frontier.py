"""The commit frontier of a partition: up to where everything is finished, and what is beyond.

Hot path: `admit` and `finish` take many offsets at once.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

MIN_FORGOTTEN = 1024
"""Finished offsets below the frontier are deleted once there are more than this, all at once.

Deleting moves the rest of a list, which is too much work for a few offsets.
"""


class Frontier:
    """Tracks admitted offsets until they are finished.

    The intake admits the records that it takes from the consumer. Only their offsets count, so gaps
    in the log (transaction markers, compaction) never hold the frontier back.

    Args:
        position: offset of the next record that will be read, if it is known.
        finished: offsets from there on that an earlier owner of the partition has finished; their
            records are not worked on again.

    Raises:
        ValueError: from `admit` when offsets do not rise.
    """

    __slots__ = ("_finished", "_head", "_next", "_pending", "_restored_until")

    def __init__(self, position: int | None = None, finished: Iterable[int] = ()) -> None:
        self._next = position
        self._pending: list[int] = []  # admitted offsets; those before `_head` are no longer needed
        self._head = 0
        self._finished: set[int] = set(finished)
        self._restored_until = max(self._finished, default=-1)

    @property
    def offset(self) -> int | None:
        """The first admitted offset that is not finished, which is the offset to commit.

        With nothing unfinished, it is one past the last admitted offset, or further after
        `skip_to`. `None` while nothing was admitted and no position is known.
        """
        return self._next if self.idle else self._pending[self._head]

    @property
    def admitted_until(self) -> int:
        """One past the last admitted offset, or further after `skip_to`; 0 if none is known."""
        return self._next or 0

    @property
    def idle(self) -> bool:
        """Whether all admitted offsets are finished."""
        return self._head == len(self._pending)

    @property
    def finished_ahead(self) -> Collection[int]:
        """Finished offsets behind an unfinished one. This is not a copy: do not change it."""
        return self._finished

    def __len__(self) -> int:
        """Number of offsets in memory: unfinished ones, and finished ones behind the first."""
        return len(self._pending) - self._head

    def admit(self, offsets: Sequence[int]) -> Collection[int]:
        """Add offsets, in rising order.

        Returns:
            Those that an earlier owner has finished: their records need no work.
        """
        if not offsets:
            return ()
        pending = self._pending
        before = (self._next or 0) - 1 if self.idle else pending[-1]
        if offsets[0] <= before:
            raise ValueError(f"offset {offsets[0]} was admitted after {before}")
        pending.extend(offsets)
        self._next = offsets[-1] + 1
        if self._restored_until < 0:
            return ()
        already = self._finished.intersection(offsets)
        # Restored offsets that are passed over now are no longer in the log.
        passed = {offset for offset in self._finished if offset <= offsets[-1]}
        self._finished -= passed.difference(pending[self._head :])
        if offsets[-1] >= self._restored_until:
            self._restored_until = -1
        self._advance()
        return already

    def put_back(self, position: int) -> None:
        """Forget that the offsets from this one on were admitted; they will be again.

        Those of them that an earlier owner has finished stay finished.
        """
        del self._pending[bisect_left(self._pending, position, self._head) :]
        self._next = position
        self._restored_until = max(self._finished, default=-1)

    def finish(self, offsets: Sequence[int]) -> bool:
        """Mark offsets as finished; returns whether the frontier moved."""
        head = self._head
        following = head + len(offsets)
        if self._pending[head:following] == offsets:  # the usual case: exactly the next offsets
            self._head = following
            self._advance()
            return bool(offsets)
        self._finished.update(offsets)
        return self._advance()

    def restore(self, offsets: Sequence[int]) -> None:
        """Add finished offsets from the position on, before any offset is admitted."""
        finished, position = self._finished, self._next or 0
        finished.update(offsets)
        while position in finished:
            finished.remove(position)
            position += 1
        self._next = position
        self._restored_until = max(finished, default=-1)

    def skip_to(self, position: int) -> bool:
        """Move over a gap, if nothing is unfinished; returns whether the frontier moved.

        Args:
            position: the consumer's position, behind the gap.
        """
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
            del pending[:head]  # at least half of the list, which keeps the cost linear
            self._head = 0
        return moved
