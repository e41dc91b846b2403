"""An assigned partition: one object for each assignment, so that identity is its epoch."""

from collections import deque
from typing import TYPE_CHECKING

from streamapp.record import TopicPartition
from streamapp.runtime.frontier import Frontier

if TYPE_CHECKING:
    from streamapp.runtime.work import Work


class Partition:
    """State of a partition while this worker holds it.

    When the partition is given back or replayed, `closed` is set and a new object takes its
    place: work that still refers to this one can finish, but nothing of it is sent or committed.

    Attributes:
        name: topic and partition.
        frontier: delivered and finished offsets.
        busy: keys in work, with the records that wait behind them.
        committed: offset that was last committed.
        until: deliver records below this offset only; `None` is without end.
        closed: no longer ours.
    """

    __slots__ = ("busy", "closed", "committed", "frontier", "name", "until")

    def __init__(
        self, name: TopicPartition, *, position: int | None = None, until: int | None = None
    ) -> None:
        self.name = name
        self.frontier = Frontier(position)
        self.busy: dict[bytes, deque[Work] | None] = {}
        self.committed = position
        self.until = until
        self.closed = False

    @property
    def ended(self) -> bool:
        """Whether all that was to be delivered is."""
        position = self.frontier.position
        return self.until is not None and position is not None and position >= self.until
