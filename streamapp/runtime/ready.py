"""Records that can be started, in the order that the stage promises.

Hot path: a chunk is iterated record by record where it is worked on; what happens to a record
alone, here, is rare or costs a dictionary operation.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from streamapp.brokers.protocols import FetchedRecords
from streamapp.record import Record
from streamapp.runtime.partition import Partition
from streamapp.runtime.work import Work

ShouldKeep: TypeAlias = Callable[[Work], bool]
"""Whether a record that waits is to be finished all the same."""


def keep_nothing(_work: Work) -> bool:
    """Keep nothing."""
    return False


def _nobody_waits() -> None:
    """Stands for the lanes until there are some."""


class Chunk:
    """Records of one partition that were fetched together, and how far they are taken.

    Attributes:
        partition: where they come from.
        records: all of them.
        untaken: those that nobody has taken, each with its place among them.
    """

    __slots__ = ("partition", "records", "untaken")

    def __init__(self, partition: Partition, records: FetchedRecords) -> None:
        self.partition = partition
        self.records = records
        self.untaken: Iterator[tuple[int, Record]] = iter(enumerate(records))


class ReadyQueue:
    """Hands out records so that those of one order key follow one another.

    A record whose key is held waits behind its holder; when that ends, the one that waited longest
    goes first. A record that is to be tried again keeps its key meanwhile.

    Attributes:
        first: records that have waited for their key, or are tried again.
        on_put: called when there is something to take.
    """

    def __init__(self) -> None:
        self.first: deque[Work] = deque()
        self.on_put: Callable[[], None] = _nobody_waits
        self._chunks: deque[Chunk] = deque()
        self._holders: dict[Partition, dict[bytes, Work]] = {}

    def __bool__(self) -> bool:
        """Whether there may be something to take."""
        return bool(self.first or self._chunks)

    def put(self, chunk: Chunk) -> None:
        """Add records at the end."""
        self._chunks.append(chunk)
        self.on_put()

    def put_first(self, works: Iterable[Work]) -> None:
        """Add records that go on before those that have not been started."""
        self.first.extend(works)
        self.on_put()

    def take_first(self) -> Work | None:
        """A record that waited for its key or is tried again; `None` without any."""
        first = self.first
        while first:
            work = first.popleft()
            if not work.partition.closed:
                return work
        return None

    def next_chunk(self) -> Chunk | None:
        """The chunk to take records from now; the same until `mark_used_up`."""
        chunks = self._chunks
        while chunks:
            if not chunks[0].partition.closed:
                return chunks[0]
            chunks.popleft()
        return None

    def mark_used_up(self, chunk: Chunk) -> None:
        """All of its records are taken."""
        if self._chunks and self._chunks[0] is chunk:
            self._chunks.popleft()

    def holders(self, partition: Partition) -> dict[bytes, Work]:
        """Records that hold their keys, by key; the same dictionary while the partition is open."""
        return self._holders.setdefault(partition, {})

    def hold_key(self, work: Work) -> None:
        """Let later records of its key wait until this one is released."""
        if work.partition.closed:
            return  # its records are delivered again, and nothing of it is ever released
        if work.order_key is not None and not work.holds_key:
            self.holders(work.partition)[work.order_key] = work
            work.holds_key = True

    def release_key(self, work: Work) -> None:
        """Give back the key of a record that has ended; the next that waits for it goes first."""
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

    def drop(self, keep: ShouldKeep = keep_nothing) -> None:
        """Forget what has not been started, but for what is kept; it will be delivered again."""
        self._chunks.clear()  # all of it comes after what has been started
        self.first = deque(work for work in self.first if keep(work))
        for partition, holders in list(self._holders.items()):
            if partition.closed:
                del self._holders[partition]
            for holder in holders.values():
                if holder.behind is not None:
                    holder.behind = deque(work for work in holder.behind if keep(work))


def make_wait_behind(holder: Work, work: Work) -> int:
    """Let a record wait for the one that holds its key; how many wait now."""
    if holder.behind is None:
        holder.behind = deque()
    holder.behind.append(work)
    return len(holder.behind)
