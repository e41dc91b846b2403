"""Records that wait for others until they are a batch."""

import asyncio
from collections.abc import Collection, Iterator

from streamapp.clock import Clock
from streamapp.pipeline.batching import Batching
from streamapp.record import Record
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue, ShouldKeep
from streamapp.runtime.work import Work


class BatchWork(Work):
    """A record of a stage that works on batches.

    Attributes:
        alone_until_hold: it is tried alone until so many holds have begun, because a call with it
            and others has failed as a whole. What fails in an outage may do so in batches again.
    """

    __slots__ = ("alone_until_hold",)

    def __init__(self, record: Record, partition: Partition, order_key: bytes | None) -> None:
        super().__init__(record, partition, order_key)
        self.alone_until_hold = 0

    def may_join(self, holds: int) -> bool:
        """Whether its next attempt is that of a batch, after so many holds have begun."""
        if self.item is not None:  # it is past the batch agent, at a fused stage
            return False
        is_given_up = self.on_last_attempt or self.give_up_error is not None
        return holds >= self.alone_until_hold and not is_given_up


class Gathering:
    """The next batch: records of any partition, in the order in which they came.

    Of several records of one key, the first holds the key, and the others wait behind it: should it
    fail, they follow it when it is done.

    Args:
        batching: when it is full, and how long the first record waits for others.
        ready: is told when it is due, and says when everything is dropped.
        clock: measures how long it waits.
    """

    def __init__(self, batching: Batching, ready: ReadyQueue, clock: Clock) -> None:
        self._size = batching.size
        self._linger_seconds = batching.linger_seconds
        self._ready = ready
        self._clock = clock
        self._works: dict[BatchWork, None] = {}
        self._due_at = 0.0  # monotonic seconds
        self._timer: asyncio.TimerHandle | None = None
        self._hurries = False
        ready.on_drop = self._drop

    @property
    def is_full(self) -> bool:
        """Whether it takes no further record."""
        return len(self._works) >= self._size

    def takes_behind(self, holder: Work) -> bool:
        """Whether the next record of a key comes into the same batch as the holder of the key.

        Not if that has failed before: it may do so again, and then the record was tried in vain.
        """
        last = holder.behind[-1] if holder.behind else holder
        return last in self._works and not holder.failures and not self.is_full

    def add(self, work: BatchWork) -> None:
        """Add a record, which holds its key or waits behind one that is in the batch."""
        self._works[work] = None
        if len(self._works) == 1:
            self._wait_for_others()

    def add_with_followers(self, work: BatchWork, holds: int) -> None:
        """Add a record that holds its key, and those that wait behind it, as far as there is room.

        Their order is kept: behind one that is tried alone, no other is taken.

        Args:
            work: the record.
            holds: how many holds have begun.
        """
        self.add(work)
        for waiting in () if work.failures else work.behind or ():
            if self.is_full or not isinstance(waiting, BatchWork) or not waiting.may_join(holds):
                return
            self.add(waiting)

    def hurry(self) -> None:
        """Let the batch wait for others no longer."""
        self._ready.batch_is_due = True

    def take(self) -> list[BatchWork]:
        """Take the batch; what comes from now on is the next one."""
        works, self._works = self._works, {}
        self._ready.batch_is_due = False
        return [work for work in works if not work.partition.closed]

    def take_one(self) -> BatchWork | None:
        """Take the first record alone; those that wait behind it come when it is done."""
        work = next(_open(self._works), None)
        if work is not None:
            key, partition = work.order_key, work.partition
            del self._works[work]
            if key is not None:
                self._works = {
                    other: None
                    for other in self._works
                    if other.order_key != key or other.partition is not partition
                }
        if not self._works:
            self._ready.batch_is_due = False
        return work

    def linger_again(self) -> None:
        """Wait for others from now on, since records are read again."""
        self._hurries = False

    def _drop(self, should_keep: ShouldKeep) -> None:
        """Forget records that are read again; the others are due, as no more will come."""
        self._works = {work: None for work in self._works if should_keep(work)}
        self._hurries = True
        self._ready.batch_is_due = bool(self._works)

    def _wait_for_others(self) -> None:
        if self._hurries or not self._linger_seconds:
            self._ready.batch_is_due = True
            return
        self._due_at = self._clock.monotonic() + self._linger_seconds
        if self._timer is None:
            self._set_timer(self._linger_seconds)

    def _set_timer(self, seconds: float) -> None:
        # One timer for many batches: full ones leave it as it is.
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._works:
            return
        seconds = self._due_at - self._clock.monotonic()
        if seconds > 0:
            self._set_timer(seconds)
        else:
            self._ready.batch_is_due = True
            self._ready.on_put()


def _open(works: Collection[BatchWork]) -> Iterator[BatchWork]:
    return (work for work in works if not work.partition.closed)


def partition_of(works: Collection[Work]) -> Partition | None:
    """The partition of the first of these records."""
    return next((work.partition for work in works), None)
