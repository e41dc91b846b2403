"""Checks positions that retention has overtaken: the stage stops, or counts what it skips."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from streamapp.record import TopicPartition

if TYPE_CHECKING:
    from tests.simulation.broker import ProcessBroker
    from tests.simulation.share import Share


class Positions:
    """Counts offsets that were deleted before a member had read them.

    Args:
        first_kept: first offset of a partition that retention has not deleted.
        complain: called when records are skipped that still exist, or that are not counted.
        checks: how often each promise was checked.
    """

    def __init__(
        self,
        first_kept: Callable[[TopicPartition], int],
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._first_kept = first_kept
        self._complain = complain
        self._checks = checks
        self._lost: dict[tuple[object, TopicPartition], int] = {}
        self._passed: defaultdict[tuple[object, str], int] = defaultdict(int)

    def lost(self, consumer: "Share", offsets: Mapping[TopicPartition, int]) -> None:
        """A member was told that its positions are no longer in the log."""
        for name, offset in offsets.items():
            self._lost[consumer, name] = offset

    def revoked(self, consumer: "Share") -> None:
        """A member has given its partitions back: the next assignment has positions of its own."""
        for lost in [lost for lost in self._lost if lost[0] is consumer]:
            del self._lost[lost]

    def sought(self, consumer: "Share", name: TopicPartition, offset: int) -> None:
        """A member reads on from this offset."""
        lost = self._lost.pop((consumer, name), None)
        if lost is None or offset <= lost:
            return
        self._checks["passed over"] += 1
        self._passed[consumer.life, consumer.group] += offset - lost
        if consumer.life.may_stop_on_loss and consumer.stops_on_loss:
            self._complain(f"{consumer.group}: {name} goes on at {offset}, and was to stop")
        if offset > self._first_kept(name):
            self._complain(f"{consumer.group}: {name} passes over records from {lost} to {offset}")

    def ended(self, life: "ProcessBroker", group: str, counted: int) -> None:
        """A service has ended; compare how many skipped offsets it has counted."""
        passed = self._passed.pop((life, group), 0)
        if passed != counted:
            self._complain(f"{group}: {passed} offsets were passed over, and {counted} counted")
