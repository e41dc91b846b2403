"""The partitions that a segment holds now."""

from collections.abc import Iterable, Mapping

from streamapp.brokers.protocols import Consumer
from streamapp.observability.stage_metrics import PartitionMetrics, StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.partition import Partition


class Assignment:
    """Opens and closes partitions; each opening makes a new `Partition`.

    Attributes:
        partitions: the open ones, by name; the same dictionary for good.
        until: last offsets to deliver, one past; empty is without end.
    """

    def __init__(self, consumer: Consumer, metrics: StageMetrics) -> None:
        self.partitions: dict[TopicPartition, Partition] = {}
        self.until: Mapping[TopicPartition, int] = {}
        self._consumer = consumer
        self._metrics = metrics
        self._suspended: dict[TopicPartition, int | None] = {}

    def open(self, names: Iterable[TopicPartition], put_back: Mapping[TopicPartition, int]) -> None:
        """Take over newly assigned partitions.

        Records that were delivered before this call were put back; they are asked for again.
        """
        for name in names:
            if (offset := put_back.get(name)) is not None:
                self._consumer.seek(name, offset)
            self.partitions[name] = Partition(name, until=self.until.get(name))
            self._metrics.partitions[name] = PartitionMetrics()

    def close(self) -> None:
        """Give up all partitions."""
        for partition in self.partitions.values():
            partition.closed = True
        self.partitions.clear()
        self._suspended.clear()
        self._metrics.partitions.clear()

    def suspend(self) -> None:
        """Close the open partitions, to read them again from their frontier on `resume`."""
        for name, partition in self.partitions.items():
            partition.closed = True
            self._suspended[name] = partition.frontier.position
        self.partitions.clear()

    def resume(self, put_back: Mapping[TopicPartition, int]) -> None:
        """Open what was suspended and is still assigned, at its frontier."""
        for name, position in self._suspended.items():
            start = put_back.get(name) if position is None else position
            if start is not None:
                self._consumer.seek(name, start)
            self.partitions[name] = Partition(name, position=position, until=self.until.get(name))
        self._suspended.clear()

    def end_at(self, until: Mapping[TopicPartition, int]) -> None:
        """Deliver no record at or past these offsets."""
        self.until = dict(until)
        for name, partition in self.partitions.items():
            partition.until = until.get(name)
