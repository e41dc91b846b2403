"""Records that wait for their next attempt."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import count

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.runtime.ready import ReadyQueue, ShouldKeep, is_any, keep_nothing
from streamapp.runtime.work import Work


class RetryQueue:
    """Keeps records until their next attempt is due, then gives them to the ready queue.

    Meanwhile they stay in flight and keep their keys.

    Args:
        clock: tells when an attempt is due.
        ready: takes records in the order in which they become due.
        metrics: its partitions learn when the next attempt on a record of theirs is due.
    """

    def __init__(
        self, clock: Clock, ready: ReadyQueue, metrics: StageMetrics | None = None
    ) -> None:
        self._clock = clock
        self._ready = ready
        self._metrics = metrics
        self._heap: list[tuple[float, int, Work]] = []
        self._sequence = count()
        self._timer: asyncio.TimerHandle | None = None
        self._held: deque[Work] = deque()

    def add(self, work: Work, delay_seconds: float) -> None:
        """Let this record wait for `delay_seconds`; it keeps its key meanwhile."""
        self._ready.hold_key(work)
        due = self._clock.monotonic() + delay_seconds
        self._note_due(work, due)
        heapq.heappush(self._heap, (due, next(self._sequence), work))
        if self._heap[0][2] is work:
            self._schedule()

    def _note_due(self, work: Work, due: float) -> None:
        own = None if self._metrics is None else self._metrics.partitions.get(work.partition.name)
        if own is not None:
            own.retry_due_at = max(own.retry_due_at or due, due)

    def hold(self, work: Work) -> None:
        """Keep this record, with its key, until `take_held`."""
        self._ready.hold_key(work)
        self._held.append(work)

    @property
    def held(self) -> Collection[Work]:
        """The records that are held, in the order in which they will be tried."""
        return self._held

    def take_held(self, is_wanted: Callable[[Work], bool] = is_any) -> Work | None:
        """The next held record that is wanted, to be tried."""
        for i, work in enumerate(self._held):
            if is_wanted(work):
                del self._held[i]
                return work
        return None

    def take_all_held(self) -> Collection[Work]:
        """All held records, each partition's in their order."""
        held, self._held = self._held, deque()
        return sorted(held, key=lambda work: (work.partition.name, work.record.offset))

    @property
    def waiting(self) -> Iterator[Work]:
        """The records that wait, in no order."""
        return (work for _, _, work in self._heap)

    def retry_now(self, works: Collection[Work]) -> None:
        """End the waits of these records now, as far as they wait."""
        hastened = [entry for entry in self._heap if entry[2] in works]
        if hastened:
            self._heap = [entry for entry in self._heap if entry[2] not in works]
            heapq.heapify(self._heap)
            for _, _, work in sorted(hastened):
                self.add(work, 0.0)

    def due_by(self, deadline: float) -> bool:
        """Whether a record is due before this deadline, in monotonic seconds."""
        return bool(self._heap) and self._heap[0][0] <= deadline

    def drop(self, keep: ShouldKeep = keep_nothing) -> None:
        """Forget waiting and held ones, except those that `keep` says; they will be read again."""
        self._held = deque(work for work in self._held if keep(work))
        self._heap = [entry for entry in self._heap if keep(entry[2])]
        heapq.heapify(self._heap)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            delay = max(0.0, self._heap[0][0] - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._give_back)

    def _give_back(self) -> None:
        now = self._clock.monotonic()
        due: list[Work] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        self._schedule()
        if due:
            self._ready.put_first(due)
