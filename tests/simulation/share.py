"""What a member reads for one segment: all of it, or its part if segments are in a bundle.

Promises are made for segments. So the checker is told of shares, whoever reads for them.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from streamapp.brokers.protocols import CommittedOffset
from streamapp.record import TopicPartition

if TYPE_CHECKING:
    from tests.simulation.broker import ProcessBroker
    from tests.simulation.consumer import SimulatedConsumer


class SortedPartitions(frozenset[TopicPartition]):
    """A set in sorted order: the order of hashes differs between processes."""

    __slots__ = ()

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(sorted(super().__iter__()))

    def __and__(self, other: Collection[object]) -> "SortedPartitions":
        return SortedPartitions(super().__and__(frozenset(other)))


class Share:
    """A member as the checker knows it, for one segment.

    Attributes:
        group: name of the segment's own group.
        process: the process that it is part of.
        life: the broker as that process sees it.
    """

    def __init__(
        self, consumer: "SimulatedConsumer", group: str, topics: Collection[str] | None
    ) -> None:
        self.group = group
        self.process: str = consumer.process
        self.life: ProcessBroker = consumer.life
        self._consumer = consumer
        self._topics = topics

    def own(self, names: Iterable[TopicPartition]) -> SortedPartitions:
        """Those of the partitions that are read for the segment."""
        topics = self._topics
        return SortedPartitions(n for n in names if topics is None or n.topic in topics)

    @property
    def stops_on_loss(self) -> bool:
        """Whether its stage is declared to stop when its position is lost."""
        return self._consumer.broker.checker.stops_on_loss(self.group)

    def assignment(self) -> SortedPartitions:
        return self.own(self._consumer.assignment())

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        return self._consumer.committed(partition)

    def __str__(self) -> str:
        return f"{self.process} in {self.group}"
