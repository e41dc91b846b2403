"""An assigned partition: one object for each assignment, so that identity is its epoch."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from enum import Enum, auto

from streamapp.brokers.protocols import CommittedOffset
from streamapp.record import TopicPartition
from streamapp.runtime.frontier import Frontier


class Phase(Enum):
    """What may be done with an assigned partition."""

    OPENING = (
        auto()
    )  # assigned and not read yet, while what it needs, such as its state, is prepared
    OPEN = auto()  # read, worked on, committed
    SUSPENDED = auto()  # not read until it opens again at its frontier
    CLOSED = auto()  # for good: given back, or another object has taken its place


class Partition:
    """State of a partition from one opening to its end.

    When the partition is given back or replayed, this object is closed, and in a replay another
    takes its place: work that refers to a closed one can finish, but nothing of it is sent or
    committed.

    Args:
        name: topic and partition.
        position: where reading goes on, if that is known.
        finished: offsets from there on that are finished already.
        committed: what is committed now; `None` before the first commit.
        until: deliver records below this offset only; `None` is without end.
        phase: where it stands when it is made.

    Attributes:
        frontier: delivered and finished offsets.
        in_flight_records, in_flight_bytes: delivered and not finished.
        stamps: offset and timestamp (ms) of the first record of each chunk that is not finished.
        exhausted: all records below `until` are delivered.
        metadata_full: more is finished beyond the frontier than a commit can store.
        phase: what may be done with it.
    """

    __slots__ = (
        "committed",
        "exhausted",
        "frontier",
        "in_flight_bytes",
        "in_flight_records",
        "metadata_full",
        "name",
        "phase",
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
        phase: Phase = Phase.OPEN,
    ) -> None:
        self.name = name
        self.frontier = Frontier(position, finished)
        self.committed = committed
        self.in_flight_records = 0
        self.in_flight_bytes = 0
        self.stamps: deque[tuple[int, int]] = deque()
        self.until = until
        self.exhausted = False
        self.metadata_full = False
        self.phase = phase

    @property
    def closed(self) -> bool:
        """Whether nothing of it may be sent or committed any more."""
        return self.phase is Phase.CLOSED

    def is_uncommitted_at(self, end: int) -> bool:
        """Whether all below this offset is finished, and its commit is still to come."""
        position = self.frontier.position
        stored = self.committed
        return position is not None and position >= end and (stored is None or stored.offset < end)

    def close_for_replay(self) -> "Partition":
        """Close this one; what takes its place begins at its frontier, suspended."""
        self.phase = Phase.CLOSED
        return Partition(
            self.name,
            position=self.frontier.position,
            finished=self.frontier.finished_ahead,
            committed=self.committed,
            until=self.until,
            phase=Phase.SUSPENDED,
        )

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
