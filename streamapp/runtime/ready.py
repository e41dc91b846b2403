"""Records that are ready to be worked on, in the order that the stage promises.

Hot path: the burst iterates over a chunk without calling this module. What is done here for a
single record is rare, or is one dictionary operation.
"""

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from typing import TypeAlias

from streamapp.brokers.protocols import FetchedRecords
from streamapp.record import Record
from streamapp.runtime.partition import Partition
from streamapp.runtime.work import Work

ShouldKeep: TypeAlias = Callable[[Work], bool]
"""Says of a waiting record whether it is kept when the others are dropped."""


def is_any(_work: Work) -> bool:
    """Let any record be taken."""
    return True


def keep_nothing(_work: Work) -> bool:
    """Let all waiting records be dropped."""
    return False


def _no_lanes_yet() -> None:
    """Stands for the lanes until they are created."""


class Chunk:
    """Records of one partition that were fetched together, and which of them no lane has taken.

    Attributes:
        partition: the partition of the records.
        records: all records.
        with_care: whether its records are worked on one by one, since an output of one of them may
            be refused.
        untaken: records that no lane has taken yet, each with its index in `records`.
        is_dated: whether the timestamp of a record may not be its event time, or its output may
            not keep it; `None` until asked.
    """

    __slots__ = ("is_dated", "partition", "records", "untaken", "with_care")

    def __init__(
        self, partition: Partition, records: FetchedRecords, *, with_care: bool = False
    ) -> None:
        self.partition = partition
        self.records = records
        self.with_care = with_care
        self.is_dated: bool | None = None
        self.untaken: Iterator[tuple[int, Record]] = iter(enumerate(records))


MAX_TAKEN_FIRST = 100
"""Records that are taken in a row before those of chunks, which have not begun.

Retries that are near come back for ever; without a bound, a few of them would keep all new records
from their first attempt.
"""


class ReadyQueue:
    """Gives records to lanes so that two records of one order key are never worked on at once.

    A record whose key is held waits behind the holder. When the holder is done, the record that has
    waited longest gets the key. A record that waits for a retry keeps its key.

    Attributes:
        first: records that come before all chunks: they have waited for their key or for a retry.
        on_put: called when there is something to take.
        on_dropped: called when what `let_through` was given is dropped before it was taken.
        is_held: whether nothing is given but what `let_through` was given.
        batch_is_due: whether records that were gathered for a batch have waited long enough.
        on_drop: called when records are dropped, with what says which are kept.
    """

    def __init__(self) -> None:
        self.first: deque[Work] = deque()
        self.on_put: Callable[[], None] = _no_lanes_yet
        self._chunks: deque[Chunk] = deque()
        self.on_dropped: Callable[[Work], None] = lambda _work: None
        self.is_held = False
        self.batch_is_due = False
        self.on_drop: Callable[[ShouldKeep], None] = lambda _keep: None
        self._let_through: Work | None = None
        self._taken_first = 0  # since a chunk was taken from
        self._holders: dict[Partition, dict[bytes, Work]] = {}

    def __bool__(self) -> bool:
        """Whether there may be something to take."""
        if self.is_held:
            return self._let_through is not None
        return self.has_records

    @property
    def has_records(self) -> bool:
        """Whether there are records to take, held or not."""
        return bool(self.first or self._chunks or self.batch_is_due)

    def let_through(self, work: Work) -> None:
        """Give this record to a lane although records are held."""
        self._let_through = work
        self.on_put()

    def put(self, chunk: Chunk) -> None:
        """Add a chunk behind the others."""
        self._chunks.append(chunk)
        self.on_put()

    def put_first(self, works: Iterable[Work]) -> None:
        """Add records that come before all chunks."""
        self.first.extend(works)
        self.on_put()

    def take_first(self) -> Work | None:
        """Take a record that has waited for its key or for a retry.

        Returns:
            `None` without any, or if it is the turn of a chunk.
        """
        if self.is_held or self._let_through is not None:
            work, self._let_through = self._let_through, None
            return work  # of a closed partition too: its attempt ends at once
        if self._taken_first >= MAX_TAKEN_FIRST and self.next_chunk() is not None:
            return None
        work = self.take_waiting()
        self._taken_first += work is not None
        return work

    def take_waiting(self, is_wanted: Callable[[Work], bool] = is_any) -> Work | None:
        """Take a record that has waited, held or not; the first one that is wanted."""
        passed: list[Work] = []
        found: Work | None = None
        while self.first and found is None:
            work = self.first.popleft()
            if work.partition.closed:
                continue
            if is_wanted(work):
                found = work
            else:
                passed.append(work)
        self.first.extendleft(reversed(passed))
        return found

    def next_chunk(self) -> Chunk | None:
        """The chunk to take records from; the same one until `mark_used_up`. `None` without any."""
        self._taken_first = 0
        return None if self.is_held else self.first_chunk()

    def first_chunk(self) -> Chunk | None:
        """The chunk to take records from, held or not."""
        chunks = self._chunks
        while chunks:
            if not chunks[0].partition.closed:
                return chunks[0]
            chunks.popleft()
        return None

    def mark_used_up(self, chunk: Chunk) -> None:
        """Go on to the next chunk, because all records of this one are taken."""
        if self._chunks and self._chunks[0] is chunk:
            self._chunks.popleft()

    def holders(self, partition: Partition) -> dict[bytes, Work]:
        """Records that hold a key, by key; the same dictionary while the partition is open."""
        return self._holders.setdefault(partition, {})

    def holder_of(self, work: Work) -> Work | None:
        """The record that holds the key of another one; `None` if none does, or it has no key."""
        return None if work.order_key is None else self.holders(work.partition).get(work.order_key)

    def hold_key(self, work: Work) -> None:
        """Let later records of its key wait until this record releases the key."""
        if work.partition.closed:
            return  # its records are read again, and no key of it would ever be released
        if work.order_key is not None and not work.holds_key:
            self.holders(work.partition)[work.order_key] = work
            work.holds_key = True

    def release_key(self, work: Work) -> None:
        """Release the key of a record that is done, and give it to the next one that waits."""
        if not work.holds_key or work.order_key is None:
            return
        holders = self._holders.get(work.partition)
        if holders is None:
            return
        behind = work.behind
        if behind:
            following = behind.popleft()
            following.holds_key = True
            following.behind = behind
            holders[work.order_key] = following
            self.first.appendleft(following)
        else:
            holders.pop(work.order_key, None)
        work.holds_key = False
        work.behind = None

    def take_back(self, known: Container[Work], place: tuple[Partition, bytes]) -> None:
        """Take out the record that was just given a key, if the result of its attempt is known.

        Args:
            known: records whose result is known.
            place: the partition and the key. While the results of a batch are handled, another lane
                may have released other keys of it, whose records are to be tried again.
        """
        first = self.first[0] if self.first else None
        if first in known and first is not None and (first.partition, first.order_key) == place:
            self.first.popleft()

    def take_behind(self, holder: Work) -> list[Record]:
        """Forget what waits behind the holder of a whole partition; returns it in its order."""
        records = [work.record for work in holder.behind or ()]
        holder.behind = None
        for chunk in self._chunks:
            if chunk.partition is holder.partition:
                records += [record for _, record in chunk.untaken]  # a lane finds no more in it
        return records

    def drop(self, keep: ShouldKeep = keep_nothing) -> None:
        """Forget records whose attempts have not begun; they will be read again.

        Args:
            keep: says which waiting records are kept all the same.
        """
        self._chunks.clear()  # these records come after all that have begun, so none is kept
        self.first = deque(work for work in self.first if keep(work))
        self.on_drop(keep)
        if self._let_through is not None and not keep(self._let_through):
            dropped, self._let_through = self._let_through, None
            self.on_dropped(dropped)
        for partition, holders in list(self._holders.items()):
            if partition.closed:
                del self._holders[partition]
            for holder in holders.values():
                if holder.behind is not None:
                    holder.behind = deque(work for work in holder.behind if keep(work))


def make_wait_behind(holder: Work, work: Work) -> int:
    """Let a record wait for the one that holds its key; returns how many wait now."""
    if holder.behind is None:
        holder.behind = deque()
    holder.behind.append(work)
    return len(holder.behind)
