"""An assigned partition: one object for each assignment, so that identity is its epoch."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from streamapp.brokers.protocols import CommittedOffset
from streamapp.record import TopicPartition
from streamapp.runtime.frontier import Frontier


class Partition:
    """State of a partition while this worker holds it.

    When the partition is given back or replayed, `closed` is set and a new object takes its
    place: work that still refers to this one can finish, but nothing of it is sent or committed.

    Args:
        name: topic and partition.
        position: where reading goes on, if that is known.
        finished: offsets from there on that are finished already.
        committed: what is committed now; `None` before the first commit.
        until: deliver records below this offset only; `None` is without end.

    Attributes:
        frontier: delivered and finished offsets.
        in_flight_records, in_flight_bytes: delivered and not finished.
        stamps: offset and timestamp (ms) of the first record of each chunk that is not finished.
        exhausted: all records below `until` are delivered.
        narrowed: more is finished beyond the frontier than a commit can store.
        closed: no longer ours.
    """

    __slots__ = (
        "closed",
        "committed",
        "exhausted",
        "frontier",
        "in_flight_bytes",
        "in_flight_records",
        "name",
        "narrowed",
        "stamps",
        "until",
    )

    def __init__(
        self,
        name: TopicPartition,
        *,
        position: int | None = None,
        finished: Iterable[int] = (),
        committed: CommittedOffset | None = None,
        until: int | None = None,
    ) -> None:
        self.name = name
        self.frontier = Frontier(position, finished)
        self.committed = committed
        self.in_flight_records = 0
        self.in_flight_bytes = 0
        self.stamps: deque[tuple[int, int]] = deque()
        self.until = until
        self.exhausted = False
        self.narrowed = False
        self.closed = False

    def delivered(self, offsets: Sequence[int], timestamp_ms: int) -> Collection[int]:
        """Take note of a chunk of records, and of the timestamp of its first.

        Returns:
            Offsets of those that are finished already.
        """
        self._forget_finished()
        already = self.frontier.deliver(offsets)
        self.stamps.append((offsets[0], timestamp_ms))
        return already

    def finish(self, offsets: Sequence[int], value_bytes: int) -> None:
        """Records in flight are finished."""
        self.in_flight_records -= len(offsets)
        self.in_flight_bytes -= value_bytes
        self.frontier.finish(offsets)

    def oldest_timestamp_ms(self) -> int | None:
        """Timestamp of the first unfinished record, to the chunk; `None` with none in flight."""
        self._forget_finished()
        return self.stamps[0][1] if self.stamps else None

    def _forget_finished(self) -> None:
        position, stamps = self.frontier.position, self.stamps
        if position is None or self.frontier.idle:
            stamps.clear()
            return
        while len(stamps) > 1 and stamps[1][0] <= position:
            stamps.popleft()
