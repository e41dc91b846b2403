"""An idempotent producer for the memory broker.

Hot path: `send_batch` does one list operation for each record, and makes a future for each batch.
"""

import asyncio
from collections.abc import Callable

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.log import PartitionLog
from streamapp.brokers.memory.network import Network
from streamapp.brokers.memory.topics import TopicStore
from streamapp.brokers.protocols import BatchBuilder, ProducerConfig
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition


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
    ) -> None:
        self._config = config
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

    def create_batch(self, max_bytes: int | None = None) -> MemoryBatch:
        """Make an empty batch."""
        limit = self._config.max_batch_bytes
        return MemoryBatch(limit if max_bytes is None else min(limit, max_bytes), self._clock.time)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Append a batch to its log; the future ends in the next turn of the event loop.

        Raises:
            TopicError: there is no such topic or partition.
            BrokerError: the producer is not running.
        """
        if not self._running:
            raise BrokerError("this producer is not running: start a new one")
        if not isinstance(batch, MemoryBatch):
            raise TypeError("a batch must be sent by the broker that created it")
        target = TopicPartition(topic, partition)
        log = self._topics.log(target)
        batch.close()
        loop = asyncio.get_running_loop()
        acknowledgement: asyncio.Future[object] = loop.create_future()
        refusal = self._refusal(batch, target)
        if refusal is not None:
            self._broken.add(target)
            loop.call_soon(_fail, acknowledgement, refusal)
        else:
            base = log.append(batch.entries)
            self._written.add(target)
            self._appended(log)
            loop.call_soon(_succeed, acknowledgement, base)
        return acknowledgement

    def _refusal(self, batch: MemoryBatch, target: TopicPartition) -> BrokerError | None:
        where = f"topic {target.topic!r} partition {target.partition}"
        if target in self._broken and target in self._written:
            return BrokerError(
                f"{where} refused a batch: an earlier batch of this producer failed, so its "
                "sequence numbers have a gap; stop it and start a new one"
            )
        limit = self._topics.get(target.topic).max_message_bytes
        if batch.size() > limit:
            return BrokerError(
                f"{where} refused a batch of {batch.size()} bytes: max.message.bytes is {limit}"
            )
        return None


def _succeed(acknowledgement: "asyncio.Future[object]", base_offset: int) -> None:
    if not acknowledgement.done():
        acknowledgement.set_result(base_offset)


def _fail(acknowledgement: "asyncio.Future[object]", error: BrokerError) -> None:
    if not acknowledgement.done():
        acknowledgement.set_exception(error)
