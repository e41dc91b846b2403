"""Positions that retention has overtaken: the stage stops, or counts what it passes over."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from streamapp.record import TopicPartition

if TYPE_CHECKING:
    from tests.simulation.broker import ProcessBroker
    from tests.simulation.consumer import SimulatedConsumer


class Positions:
    """Counts offsets that were deleted before a member had read them.

    Args:
        first_kept: first offset that retention has left in a partition.
        complain: called when records are passed over that are there, or in silence.
        checks: how often each rule was looked at.
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

    def lost(self, consumer: "SimulatedConsumer", offsets: Mapping[TopicPartition, int]) -> None:
        """A member was told that its positions are not in the log."""
        for name, offset in offsets.items():
            self._lost[consumer, name] = offset

    def sought(self, consumer: "SimulatedConsumer", name: TopicPartition, offset: int) -> None:
        """A member goes on reading here."""
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
        """A service has ended, which counted so many offsets that it passed over."""
        passed = self._passed.pop((life, group), 0)
        if passed != counted:
            self._complain(f"{group}: {passed} offsets were passed over, and {counted} counted")
