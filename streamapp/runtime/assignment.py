"""The partitions that a segment holds now."""

from collections.abc import Collection, Iterable, Mapping

from streamapp.brokers.protocols import Consumer
from streamapp.observability.stage_metrics import PartitionMetrics, StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.commit_metadata import decode
from streamapp.runtime.partition import Partition, Phase


class Assignment:
    """Opens and closes partitions; each opening makes a new `Partition`.

    Attributes:
        consumer: the member of the group that holds them.
        metrics: counters of the segment.
        partitions: the assigned ones that are not closed, by name; the same dictionary for good.
        until: last offsets to deliver, one past; empty is without end.
        is_revoked: whether they are being given back, or were; until the next `open`.
    """

    def __init__(self, consumer: Consumer, metrics: StageMetrics) -> None:
        self.consumer = consumer
        self.metrics = metrics
        self.partitions: dict[TopicPartition, Partition] = {}
        self.until: Mapping[TopicPartition, int] = {}
        self.is_revoked = False

    @property
    def suspended(self) -> Collection[TopicPartition]:
        """Partitions that wait for `resume`."""
        return [name for name, p in self.partitions.items() if p.phase is Phase.SUSPENDED]

    def open(
        self, names: Iterable[TopicPartition], refetch_from: Mapping[TopicPartition, int]
    ) -> None:
        """Take over newly assigned partitions, from where the group has committed.

        Records that were delivered before this call were put back; they are asked for again.
        """
        self.is_revoked = False
        for name in names:
            if (offset := refetch_from.get(name)) is not None:
                self.consumer.seek(name, offset)
            committed = self.consumer.committed(name)
            if committed is None:
                opened = Partition(name, until=self.until.get(name))
            else:
                opened = Partition(
                    name,
                    position=committed.offset,
                    finished=decode(committed.metadata, committed.offset),
                    committed=committed,
                    until=self.until.get(name),
                )
            self.partitions[name] = opened
            self.metrics.partitions[name] = PartitionMetrics()

    def close(self) -> None:
        """Give up all partitions."""
        for partition in self.partitions.values():
            partition.phase = Phase.CLOSED
        self.partitions.clear()
        self.metrics.partitions.clear()

    def suspend(self) -> None:
        """Close the open partitions; `resume` reads them again from their frontier."""
        for name, partition in self.partitions.items():
            if partition.phase is Phase.OPEN:
                self.partitions[name] = partition.close_for_replay()

    def resume(
        self,
        refetch_from: Mapping[TopicPartition, int],
        *,
        except_for: Collection[TopicPartition] = (),
    ) -> None:
        """Open what was suspended, at its frontier.

        Args:
            refetch_from: where to start partitions of which nothing was delivered while open.
            except_for: partitions that stay suspended for now.
        """
        for name in self.suspended:
            if name in except_for:
                continue
            partition = self.partitions[name]
            position = partition.frontier.offset
            start = refetch_from.get(name) if position is None else position
            if start is not None:
                self.consumer.seek(name, start)
            partition.phase = Phase.OPEN

    def restart_at(self, name: TopicPartition, offset: int) -> None:
        """Go on reading a partition at another offset.

        Records in flight stay, unless they are from there on: then they will be delivered again.
        """
        partition = self.partitions.get(name)
        if partition is None or offset >= partition.frontier.admitted_until:
            self.consumer.seek(name, offset)
            return
        frontier = partition.frontier
        # What stands from there on now is not what was delivered from there; what stands before
        # it is the same, and is delivered again where it is not finished.
        start = offset if frontier.offset is None else min(offset, frontier.offset)
        self.consumer.seek(name, start)
        partition.phase = Phase.CLOSED
        self.partitions[name] = Partition(
            name,
            position=start,
            finished=[done for done in frontier.finished_ahead if done < offset],
            until=self.until.get(name),
        )

    def end_at(self, until: Mapping[TopicPartition, int]) -> None:
        """Deliver no record at or past these offsets."""
        self.until = dict(until)
        for name, partition in self.partitions.items():
            partition.until = until.get(name)
