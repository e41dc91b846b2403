"""Checks that no member has more records in flight than it may."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamapp.record import Record, TopicPartition
from tests.simulation.outcomes import Outcomes, Part

if TYPE_CHECKING:
    from tests.simulation.share import Share

_HELD_BEHIND = 8
"""Bounds of records in flight, as many offsets of which a stage keeps behind unfinished ones."""


@dataclass(slots=True)
class Holding:
    """Records of one partition that a member has fetched and, seen from outside, not finished."""

    fetched: list[int] = field(default_factory=list)
    open: dict[int, Record] = field(default_factory=dict)


class Holdings:
    """Follows fetches: a fetched record is in flight until all its outputs are in the logs.

    Args:
        outcomes: says whether they are.
        complain: called when a bound is exceeded.
        is_exact: whether a member forgets records only when that can be seen from outside.
    """

    def __init__(
        self, outcomes: Outcomes, complain: Callable[[str], None], *, is_exact: bool
    ) -> None:
        self._outcomes = outcomes
        self._complain = complain
        self._is_exact = is_exact
        self._held: dict[object, dict[TopicPartition, Holding]] = {}

    def fetched(
        self,
        part: Part,
        consumer: "Share",
        partition: TopicPartition,
        records: Iterable[Record],
    ) -> None:
        """A fetch has returned records to a member."""
        holdings = self._held.setdefault(consumer, {})
        holding = holdings.setdefault(partition, Holding())
        for record in records:
            holding.fetched.append(record.offset)
            holding.open[record.offset] = record
        in_flight = 0
        for name, held in holdings.items():
            self._forget_finished(part, name, held)
            in_flight += len(held.open)
        if in_flight > part.bound and self._is_exact:
            self._complain(f"{part.group}: {in_flight} records in flight, over {part.bound}")

    def requested(
        self, part: Part, consumer: "Share", partitions: Collection[TopicPartition]
    ) -> None:
        """A member asks for more records, so it must have fewer in flight than it may."""
        holdings = self._held.get(consumer, {})
        value_bytes = 0
        for name, held in holdings.items():
            self._forget_finished(part, name, held)
            value_bytes += sum(len(record.value or b"") for record in held.open.values())
        if value_bytes >= part.bytes_bound and self._is_exact:
            self._complain(
                f"{part.group}: asks for more with {value_bytes} bytes in flight, and"
                f" {part.bytes_bound} are enough"
            )
        share = _HELD_BEHIND * part.bound // (len(consumer.assignment()) if self._is_exact else 1)
        for name in partitions:
            kept = len(holdings[name].fetched) if name in holdings else 0
            if kept >= max(1, share):
                self._complain(f"{part.group}: asks for more with {kept} offsets held of {name}")

    def sought(self, consumer: "Share", partition: TopicPartition, offset: int) -> None:
        """A member will read again from this offset."""
        holding = self._held.get(consumer, {}).get(partition)
        if holding is not None:
            holding.fetched = [o for o in holding.fetched if o < offset]
            holding.open = {o: r for o, r in holding.open.items() if o < offset}

    def revoked(self, consumer: "Share") -> None:
        """A member has given all its partitions back."""
        self._held.pop(consumer, None)

    def _forget_finished(self, part: Part, name: TopicPartition, held: Holding) -> None:
        is_finished, topic = self._outcomes.is_finished, name.topic
        ended = [o for o, r in held.open.items() if is_finished(part, topic, r)]
        for offset in ended:
            del held.open[offset]
        first = min(held.open, default=None)
        while held.fetched and (first is None or held.fetched[0] < first):
            held.fetched.pop(0)
