"""An assigned partition: each assignment gets an object of its own, which serves as its epoch."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from enum import Enum, auto

from streamapp.brokers.protocols import CommittedOffset
from streamapp.errors import StreamappError
from streamapp.record import TopicPartition
from streamapp.runtime.frontier import Frontier


class Phase(Enum):
    """What may be done with an assigned partition."""

    OPENING = auto()  # not read yet: what it needs first, such as its state, is being prepared
    OPEN = auto()  # read, worked on and committed
    SUSPENDED = auto()  # not read until it opens again, which is at its frontier
    CLOSED = auto()  # never used again: given back, or replaced by another object


class Partition:
    """State of a partition from its opening until it is given back or replayed.

    Then this object is closed; a replay puts a new one in its place. An attempt that still has a
    closed object can end, but its outputs are not sent and its record is not committed.

    Args:
        name: topic and partition.
        position: offset of the next record that will be read, if it is known.
        finished: offsets from there on that are finished already.
        committed: what is committed now; `None` before the first commit.
        until: admit only records below this offset; `None` means no limit.
        phase: the phase in which it begins.

    Attributes:
        frontier: which offsets are admitted, and which of them finished.
        in_flight_records, in_flight_bytes: records that are admitted and not finished, and the
            bytes of their values; with them, those of outputs that are kept back until their
            record is done.
        stamps: offset and timestamp (ms) of the first record of each chunk that is not finished.
        reached_end: whether all records below `until` are admitted.
        newest: offset and timestamp (ms) of the first record of the last chunk; `None` again when
            somebody has looked at it.
        metadata_full: whether more offsets are finished beyond the frontier than the metadata of a
            commit can hold.
        dead_end: why nothing more can be read from it; the stage ends with this error when all
            records before are finished. `None` as long as it can be read.
        phase: what may be done with it.
        successor: the object that a replay has put in its place; `None` if there is none.
    """

    __slots__ = (
        "committed",
        "dead_end",
        "frontier",
        "in_flight_bytes",
        "in_flight_records",
        "metadata_full",
        "name",
        "newest",
        "phase",
        "reached_end",
        "stamps",
        "successor",
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
        self.reached_end = False
        self.metadata_full = False
        self.newest: tuple[int, int] | None = None
        self.dead_end: StreamappError | None = None
        self.phase = phase
        self.successor: Partition | None = None

    @property
    def latest(self) -> "Partition":
        """This object, or that which replays have put in its place."""
        found = self
        while found.successor is not None:
            found = found.successor
        return found

    @property
    def closed(self) -> bool:
        """Whether its outputs and offsets may no longer be sent and committed."""
        return self.phase is Phase.CLOSED

    def is_uncommitted_at(self, end: int) -> bool:
        """Whether all records below this offset are finished, but no commit says so yet."""
        offset = self.frontier.offset
        stored = self.committed
        return offset is not None and offset >= end and (stored is None or stored.offset < end)

    def close_for_replay(self) -> "Partition":
        """Close this object, and return a suspended one that begins at the same frontier."""
        self.phase = Phase.CLOSED
        self.successor = Partition(
            self.name,
            position=self.frontier.offset,
            finished=self.frontier.finished_ahead,
            committed=self.committed,
            until=self.until,
            phase=Phase.SUSPENDED,
        )
        return self.successor

    def admit(self, offsets: Sequence[int], timestamp_ms: int) -> Collection[int]:
        """Add the offsets of a chunk of records.

        Args:
            offsets: offsets of the records, in rising order.
            timestamp_ms: timestamp of the first record.

        Returns:
            Offsets that an earlier owner has finished: their records need no work.
        """
        self._forget_finished()
        already = self.frontier.admit(offsets)
        self.stamps.append((offsets[0], timestamp_ms))
        self.newest = (offsets[0], timestamp_ms)
        return already

    def put_back(self, offsets: Sequence[int], value_bytes: int) -> None:
        """Forget the last records that were admitted; they will be read again.

        Args:
            offsets: their offsets, in rising order.
            value_bytes: total bytes of their values.
        """
        self.in_flight_records -= len(offsets)
        self.in_flight_bytes -= value_bytes
        self.frontier.put_back(offsets[0])
        self.reached_end = False
        self.dead_end = None  # it is found again when what is before it has been read again
        while self.stamps and self.stamps[-1][0] >= offsets[0]:
            self.stamps.pop()

    def finish(self, offsets: Sequence[int], value_bytes: int) -> None:
        """Mark records as finished.

        Args:
            offsets: their offsets.
            value_bytes: total bytes of their values.
        """
        self.in_flight_records -= len(offsets)
        self.in_flight_bytes -= value_bytes
        self.frontier.finish(offsets)

    def finish_before_opening(self, offsets: Sequence[int]) -> bool:
        """Mark records as finished that were in flight before this object took their place.

        Returns:
            Whether it is suspended still; otherwise nothing is done, since the records may be in
            flight again, or belong to another member.
        """
        if self.phase is not Phase.SUSPENDED:
            return False
        self.frontier.restore(offsets)
        return True

    def oldest_timestamp_ms(self) -> int | None:
        """Timestamp of the first record of the first unfinished chunk; `None` without any.

        The first unfinished record itself may be a later one of that chunk: keeping a timestamp for
        each chunk costs less than one for each record.
        """
        self._forget_finished()
        return self.stamps[0][1] if self.stamps else None

    def _forget_finished(self) -> None:
        position, stamps = self.frontier.offset, self.stamps
        if position is None or self.frontier.idle:
            stamps.clear()
            return
        while len(stamps) > 1 and stamps[1][0] <= position:
            stamps.popleft()
