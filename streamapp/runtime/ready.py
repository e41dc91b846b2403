"""Records that can be started, in the order that the stage promises.

Hot path: `take` and `release` run once for each record.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from streamapp.runtime.partition import Partition
from streamapp.runtime.work import Work


class ReadyQueue:
    """Hands out records so that those of one order key follow one another.

    A record whose key is in work waits behind it; when that record ends, the one that waited
    longest goes first. A record that is to be tried again keeps its key meanwhile.

    Args:
        side_by_side: whether records run side by side. Where they run one after the other, a key
            needs to be held only while its record waits for another attempt.
    """

    def __init__(self, *, side_by_side: bool) -> None:
        self._side_by_side = side_by_side
        self._first: deque[Work] = deque()  # waited for their key, or are tried again
        self._fresh: deque[Iterator[Work]] = deque()
        self._held: dict[Partition, dict[bytes, deque[Work]]] = {}

    def __bool__(self) -> bool:
        """Whether there may be something to take."""
        return bool(self._first or self._fresh)

    def put(self, works: Iterable[Work]) -> None:
        """Add records at the end; each is asked for when it is taken, and not before."""
        self._fresh.append(iter(works))

    def put_first(self, works: Iterable[Work]) -> None:
        """Add records that go on before those that have not been started."""
        self._first.extend(works)

    def take(self) -> Work | None:
        """The next record that may be started; `None` when there is none."""
        first, fresh = self._first, self._fresh
        while True:
            if first:
                work = first.popleft()
            elif fresh:
                following = next(fresh[0], None)
                if following is None:
                    fresh.popleft()
                    continue
                work = following
            else:
                return None
            if work.partition.closed:
                continue
            if work.owns_key or work.order_key is None or self._may_start(work, work.order_key):
                return work

    def hold(self, work: Work) -> None:
        """Let later records of its key wait until this one is released."""
        if work.order_key is not None and not work.owns_key:
            self._held.setdefault(work.partition, {})[work.order_key] = deque()
            work.owns_key = True

    def release(self, work: Work) -> None:
        """Give back the key of a record that has ended; the next that waits for it goes first."""
        if not work.owns_key or work.order_key is None:
            return
        keys = self._held.get(work.partition)
        if keys is None:
            return
        waiting = keys.pop(work.order_key, None)
        if waiting:
            following = waiting.popleft()
            following.owns_key = True
            keys[work.order_key] = waiting
            self._first.appendleft(following)

    def drop(self, overtaken: Mapping[Partition, int]) -> None:
        """Forget what has not been started; it will be delivered again.

        Args:
            overtaken: by open partition, the offset below which records are kept, because a later
                one has been started: that one would be delivered again with them.
        """
        self._fresh.clear()  # none of these has been overtaken
        self._first = deque(w for w in self._first if _is_overtaken(w, overtaken))
        for partition, keys in list(self._held.items()):
            if partition not in overtaken:
                del self._held[partition]
            for waiting in keys.values():
                while waiting and not _is_overtaken(waiting[-1], overtaken):
                    waiting.pop()

    def _may_start(self, work: Work, key: bytes) -> bool:
        """Whether the key is free; if not, the record waits behind it."""
        held = self._held
        keys = held.get(work.partition) if held else None
        if keys is not None and (waiting := keys.get(key)) is not None:
            waiting.append(work)
            return False
        if self._side_by_side:
            if keys is None:
                keys = held[work.partition] = {}
            keys[key] = deque()
            work.owns_key = True
        return True


def _is_overtaken(work: Work, overtaken: Mapping[Partition, int]) -> bool:
    return work.record.offset < overtaken.get(work.partition, -1)
