"""What each member holds, and that it is no more than it may."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamapp.record import Record, TopicPartition
from tests.simulation.outcomes import Outcomes, Part

if TYPE_CHECKING:
    from tests.simulation.consumer import SimulatedConsumer

_HELD_BEHIND = 8
"""Bounds of records in flight, as many offsets of which a stage keeps behind unfinished ones."""


@dataclass(slots=True)
class Holding:
    """What a member was given of one partition and, as far as one can see, has not finished."""

    delivered: list[int] = field(default_factory=list)
    open: dict[int, Record] = field(default_factory=dict)


class Holdings:
    """Follows deliveries: what is delivered is in flight until it stands in the logs.

    Args:
        outcomes: tells what stands there.
        complain: called when a bound is broken.
        is_exact: whether a member forgets records only when it says so.
    """

    def __init__(
        self, outcomes: Outcomes, complain: Callable[[str], None], *, is_exact: bool
    ) -> None:
        self._outcomes = outcomes
        self._complain = complain
        self._is_exact = is_exact
        self._held: dict[object, dict[TopicPartition, Holding]] = {}

    def delivered(
        self,
        part: Part,
        consumer: "SimulatedConsumer",
        partition: TopicPartition,
        records: Iterable[Record],
    ) -> None:
        """A member was handed records."""
        holdings = self._held.setdefault(consumer, {})
        holding = holdings.setdefault(partition, Holding())
        for record in records:
            holding.delivered.append(record.offset)
            holding.open[record.offset] = record
        in_flight = 0
        for held in holdings.values():
            self._forget_finished(part, held)
            in_flight += len(held.open)
        if in_flight > part.bound and self._is_exact:
            self._complain(f"{part.group}: {in_flight} records in flight, over {part.bound}")

    def requested(
        self, part: Part, consumer: "SimulatedConsumer", partitions: Collection[TopicPartition]
    ) -> None:
        """A member asks for more: it must not have enough."""
        holdings = self._held.get(consumer, {})
        value_bytes = 0
        for held in holdings.values():
            self._forget_finished(part, held)
            value_bytes += sum(len(record.value or b"") for record in held.open.values())
        if value_bytes >= part.bytes_bound and self._is_exact:
            self._complain(
                f"{part.group}: asks for more with {value_bytes} bytes in flight, and"
                f" {part.bytes_bound} are enough"
            )
        share = _HELD_BEHIND * part.bound // (len(consumer.assignment()) if self._is_exact else 1)
        for name in partitions:
            kept = len(holdings[name].delivered) if name in holdings else 0
            if kept >= max(1, share):
                self._complain(f"{part.group}: asks for more with {kept} offsets held of {name}")

    def sought(self, consumer: "SimulatedConsumer", partition: TopicPartition, offset: int) -> None:
        """A member asks for records again from here."""
        holding = self._held.get(consumer, {}).get(partition)
        if holding is not None:
            holding.delivered = [o for o in holding.delivered if o < offset]
            holding.open = {o: r for o, r in holding.open.items() if o < offset}

    def revoked(self, consumer: "SimulatedConsumer") -> None:
        """A member has given everything back."""
        self._held.pop(consumer, None)

    def _forget_finished(self, part: Part, held: Holding) -> None:
        ended = [o for o, r in held.open.items() if self._outcomes.is_finished(part, r)]
        for offset in ended:
            del held.open[offset]
        first = min(held.open, default=None)
        while held.delivered and (first is None or held.delivered[0] < first):
            held.delivered.pop(0)
