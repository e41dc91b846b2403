"""The memory broker: makes clients that share topics and groups in this process."""

from random import Random

from streamapp.brokers.compression import Compression
from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.memory.group import Groups
from streamapp.brokers.memory.log import PartitionLog
from streamapp.brokers.memory.network import Network
from streamapp.brokers.memory.partition_reader import MemoryPartitionReader
from streamapp.brokers.memory.producer import MemoryProducer
from streamapp.brokers.memory.topics import TopicStore
from streamapp.brokers.memory.transactions import Epochs, MemoryTransactions
from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig, RebalanceListener
from streamapp.clock import Clock
from streamapp.record import TopicPartition

_MAX_GAP_OFFSETS = 3


class MemoryBroker:
    """Topics, groups and logs in one process and one event loop.

    It is deterministic: the same calls in the same order, with the same clock and seed, give the
    same results.

    Args:
        clock: time of sessions, deadlines and timestamps.
        seed: seed of the offset gaps.
        gap_probability: share of batches that are followed by a gap of one to three offsets, as
            transaction markers and compaction leave on Kafka.
        retention_records: how many of the newest records each partition keeps. Older ones are
            deleted when every group that reads the topic has committed past them. `None` keeps all.
        compression: how its producers compress batches, which only concerns the limits of topics;
            `None` for not at all.

    Attributes:
        network: while it is down, clients cannot connect.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int = 0,
        *,
        gap_probability: float = 0.0,
        retention_records: int | None = None,
        compression: Compression | None = None,
    ) -> None:
        self.compression = compression
        self.network = Network()
        self._clock = clock
        self._random = Random(seed)  # noqa: S311 - must be repeatable, not secret
        self._gap_probability = gap_probability
        self._retention_records = retention_records
        self._topics = TopicStore()
        self._groups = Groups(self._topics, clock)
        self._epochs = Epochs()

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> MemoryConsumer:
        """Make a consumer, which joins its group when it starts."""
        return MemoryConsumer(
            config,
            listener,
            topics=self._topics,
            group=self._groups.get(config.group),
            clock=self._clock,
            network=self.network,
        )

    def producer(self, config: ProducerConfig) -> MemoryProducer:
        """Make a producer."""
        return MemoryProducer(
            config,
            topics=self._topics,
            clock=self._clock,
            network=self.network,
            appended=self._after_append,
            compression=self.compression,
        )

    def transactional_producer(self, transactional_id: str) -> MemoryTransactions:
        """Make a producer that writes in transactions."""
        return MemoryTransactions(transactional_id, self.producer(ProducerConfig()), self._epochs)

    def partition_reader(
        self,
        max_prefetch_bytes: int = 0,  # noqa: ARG002 - nothing is fetched before it is asked for
    ) -> MemoryPartitionReader:
        """Make a reader without a group."""
        return MemoryPartitionReader(self._topics, self.network)

    def admin(self) -> MemoryAdmin:
        """Make an admin client."""
        return MemoryAdmin(self._topics, self._groups, self.network)

    def skip_offsets(self, partition: TopicPartition, count: int) -> None:
        """Leave a gap of `count` offsets at the end of a log, as an aborted transaction does."""
        self._topics.log(partition).skip_offsets(count)

    def truncate(self, partition: TopicPartition, end_offset: int) -> None:
        """Lose the records of a log from this offset on, as a stale replica does."""
        self._topics.log(partition).truncate(end_offset)

    def make_unreadable(self, partition: TopicPartition, offset: int) -> None:
        """Let no consumer parse this record from now on, as if its bytes were broken."""
        self._topics.log(partition).unreadable.add(offset)

    def delete_expired(self) -> None:
        """Delete records that are older than the retention of their topics.

        Kafka does this every five minutes. Here it is done on request only, so that tests can write
        records of any age.
        """
        now_ms = int(self._clock.time() * 1000)
        for name in self._topics:
            topic = self._topics.get(name)
            if topic.retention_ms is not None:
                for log in topic.logs:
                    log.expire(now_ms - topic.retention_ms)

    def _after_append(self, log: PartitionLog) -> None:
        if self._gap_probability and self._random.random() < self._gap_probability:
            log.skip_offsets(self._random.randint(1, _MAX_GAP_OFFSETS))
        keep = self._retention_records
        # Deleting begins at twice as many records, so that groups are rarely asked what they need.
        if keep is not None and len(log) > 2 * keep:
            log.trim(keep, self._groups.needed_from(log.partition, log.end_offset))
