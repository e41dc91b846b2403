"""An idempotent producer for the memory broker.

Hot path: `send_batch` does one list operation for each record, and makes a future for each batch.
"""

import asyncio
from collections.abc import Callable, Sequence

from streamapp.brokers.compression import BatchCompression, Compression
from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.log import PartitionLog
from streamapp.brokers.memory.network import Network
from streamapp.brokers.memory.topics import MemoryTopic, TopicStore
from streamapp.brokers.protocols import BatchBuilder, ProducerConfig
from streamapp.clock import Clock
from streamapp.errors import BatchRefusedError, BrokerError
from streamapp.record import TopicPartition

NO_TIMESTAMP = -1
"""Stands for a record without one, which no limit concerns."""


class MemoryProducer:
    """Appends batches to logs, and fails when an idempotent producer on Kafka would.

    The future of a batch gets the offset of its first record as its result, or a `BrokerError`.
    """

    def __init__(
        self,
        config: ProducerConfig,
        *,
        topics: TopicStore,
        clock: Clock,
        network: Network,
        appended: Callable[[PartitionLog], None],
        compression: Compression | None = None,
    ) -> None:
        self._config = config
        self._compression = compression
        self._topics = topics
        self._clock = clock
        self._network = network
        self._appended = appended
        self._running = False
        self._written: set[TopicPartition] = set()
        self._broken: set[TopicPartition] = set()

    async def start(self) -> None:
        """Connect."""
        self._network.connect()
        self._running = True

    async def stop(self) -> None:
        """Close; every batch was appended when it was sent."""
        self._running = False

    async def partition_count(self, topic: str) -> int:
        """Number of partitions of the topic.

        Raises:
            TopicError: there is no such topic.
        """
        return len(self._topics.get(topic).logs)

    def create_batch(
        self, max_bytes: int | None = None, for_large: Sequence[Compression] = ()
    ) -> MemoryBatch:
        """Make an empty batch."""
        full = self._config.max_batch_bytes
        full = full if max_bytes is None else min(full, max_bytes)
        compression = BatchCompression(self._compression, max_bytes, for_large)
        return MemoryBatch(full, self._clock.time, compression)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Append a batch to its log; the future ends in the next turn of the event loop.

        Raises:
            TopicError: there is no such topic or partition.
            BrokerError: the producer is not running.
        """
        if not isinstance(batch, MemoryBatch):
            raise TypeError("a batch must be sent by the broker that created it")
        target = TopicPartition(topic, partition)
        refusal = self._refusal(batch, target)
        loop = asyncio.get_running_loop()
        acknowledgement: asyncio.Future[object] = loop.create_future()
        if refusal is not None:
            self._broken.add(target)
            loop.call_soon(_fail, acknowledgement, refusal)
        else:
            loop.call_soon(_succeed, acknowledgement, self._append(batch, target))
        return acknowledgement

    def append_all(self, batches: Sequence[tuple[TopicPartition, MemoryBatch]]) -> Sequence[int]:
        """Append all of the batches to their logs, or none.

        Returns:
            The offset of the first record of each.

        Raises:
            TopicError: there is no such topic or partition.
            BatchRefusedError: a topic refuses one of the batches.
            BrokerError: the producer is not running.
        """
        for target, batch in batches:
            refusal = self._refusal(batch, target)
            if refusal is not None:
                raise refusal
        return [self._append(batch, target) for target, batch in batches]

    def _append(self, batch: MemoryBatch, target: TopicPartition) -> int:
        """Append a batch that is not refused, and return the offset of its first record."""
        entries = batch.entries
        if self._topics.get(target.topic).has_append_times:
            now_ms = int(self._clock.time() * 1000)
            entries = [(now_ms, key, value, headers) for _, key, value, headers in entries]
        log = self._topics.log(target)
        base = log.append(entries)
        self._written.add(target)
        self._appended(log)
        return base

    def _refusal(self, batch: MemoryBatch, target: TopicPartition) -> BrokerError | None:
        """Close a batch, and say why its topic refuses it.

        Raises:
            TopicError: there is no such topic or partition.
            BrokerError: the producer is not running.
        """
        if not self._running:
            raise BrokerError("this producer is not running: start a new one")
        self._topics.log(target)
        batch.close()
        where = f"topic {target.topic!r} partition {target.partition}"
        if target in self._broken and target in self._written:
            return BrokerError(
                f"{where} refused a batch: an earlier batch of this producer failed, so its "
                "sequence numbers have a gap; stop it and start a new one"
            )
        topic = self._topics.get(target.topic)
        if not batch.fits(topic.max_message_bytes, topic.compression_type):
            return BatchRefusedError(
                f"{where} refused a batch of {batch.size()} bytes: max.message.bytes is"
                f" {topic.max_message_bytes}"
            )
        why = self._refused_record(batch, topic)
        return None if why is None else BatchRefusedError(f"{where} refused a batch: {why}")

    def _refused_record(self, batch: MemoryBatch, topic: MemoryTopic) -> str | None:
        """What is wrong with one of the records; one is enough for the batch to be refused."""
        if topic.needs_keys and any(key is None for _, key, _, _ in batch.entries):
            return "a record has no key, but the topic is compacted"
        ahead, age = topic.max_ahead_ms, topic.max_age_ms
        now = int(self._clock.time() * 1000)
        timestamps = [
            timestamp for timestamp, _, _, _ in batch.entries if timestamp != NO_TIMESTAMP
        ]
        if ahead is not None and any(timestamp > now + ahead for timestamp in timestamps):
            return f"a timestamp is more than {ahead} ms ahead: message.timestamp.after.max.ms"
        if age is not None and any(timestamp < now - age for timestamp in timestamps):
            return f"a timestamp is more than {age} ms old: message.timestamp.before.max.ms"
        return None


def _succeed(acknowledgement: "asyncio.Future[object]", base_offset: int) -> None:
    if not acknowledgement.done():
        acknowledgement.set_result(base_offset)


def _fail(acknowledgement: "asyncio.Future[object]", error: BrokerError) -> None:
    if not acknowledgement.done():
        acknowledgement.set_exception(error)
