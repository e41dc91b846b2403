"""The partitions that are assigned to a segment now."""

from collections.abc import Collection, Iterable, Mapping

from streamapp.brokers.protocols import Consumer
from streamapp.observability.partition_metrics import PartitionMetrics
from streamapp.observability.stage_metrics import Received, StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.commit_metadata import decode
from streamapp.runtime.partition import Partition, Phase


class Assignment:
    """Opens and closes partitions; each opening makes a new `Partition`.

    Attributes:
        consumer: the member of the group to which they are assigned.
        metrics: counters of the segment.
        partitions: assigned partitions that are not closed, by name. The dictionary is never
            replaced, so others may keep it.
        until: for each partition, the offset before which reading ends; empty means no end.
        is_revoked: whether the partitions are being given back, or have been; false again from the
            next `open` on.
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
        """Open newly assigned partitions at their committed offsets.

        Args:
            names: the partitions.
            refetch_from: where to fetch again, for partitions whose records the consumer returned
                before this call: the intake could not take those records then.
        """
        self.is_revoked = False
        for name in sorted(names):  # of a set: the same order in each process
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
            self.metrics.received.setdefault(name.topic, Received())  # a series that begins at 0

    def close(self) -> None:
        """Close all partitions, because they are given back."""
        for partition in self.partitions.values():
            partition.phase = Phase.CLOSED
        self.partitions.clear()
        self.metrics.partitions.clear()

    def suspend(self) -> None:
        """Stop reading open partitions; `resume` will read them again from their frontiers."""
        for name, partition in self.partitions.items():
            if partition.phase is Phase.OPEN:
                self.partitions[name] = partition.close_for_replay()

    def resume(
        self,
        refetch_from: Mapping[TopicPartition, int],
        *,
        except_for: Collection[TopicPartition] = (),
    ) -> None:
        """Open suspended partitions at their frontiers.

        Args:
            refetch_from: where to fetch again, for partitions that have no frontier yet because
                the intake has admitted none of their records.
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
        """Read on from another offset, because the position is no longer in the log.

        Records in flight stay in flight if they are below that offset. If any are not, all that are
        unfinished are read again.
        """
        partition = self.partitions.get(name)
        if partition is None or offset >= partition.frontier.admitted_until:
            self.consumer.seek(name, offset)
            return
        frontier = partition.frontier
        # From that offset on, the log now has other records than those that were admitted. Below
        # it, the records are the same: unfinished ones are read again, finished ones are not.
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
        """Admit no record at or past these offsets."""
        self.until = dict(until)
        for name, partition in self.partitions.items():
            partition.until = until.get(name)
