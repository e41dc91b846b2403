"""A producer for the memory broker that writes whole transactions."""

from collections.abc import Mapping, Sequence

from streamapp.brokers.compression import FOR_LARGE
from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.producer import MemoryProducer
from streamapp.brokers.protocols import OutgoingRecord
from streamapp.errors import BrokerError, FencedError
from streamapp.record import TopicPartition


class Epochs:
    """Which producer of each transactional id was started last."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}

    def begin(self, transactional_id: str) -> int:
        """Begin the next epoch of an id."""
        self._epochs[transactional_id] = epoch = self.current(transactional_id) + 1
        return epoch

    def current(self, transactional_id: str) -> int:
        """The epoch of an id; 0 before the first."""
        return self._epochs.get(transactional_id, 0)


class MemoryTransactions:
    """Appends all records of a transaction in one turn of the event loop, or none of them.

    Args:
        transactional_id: of producers with one id, only the last that was started may write.
        producer: appends batches.
        epochs: say which producer was started last.
    """

    def __init__(self, transactional_id: str, producer: MemoryProducer, epochs: Epochs) -> None:
        self._id = transactional_id
        self._producer = producer
        self._epochs = epochs
        self._epoch = 0

    async def start(self) -> None:
        """Connect, and let earlier producers of this id write no more."""
        await self._producer.start()
        self._epoch = self._epochs.begin(self._id)

    async def stop(self) -> None:
        """Close."""
        self._epoch = 0
        await self._producer.stop()

    async def write(self, records: Sequence[OutgoingRecord]) -> Mapping[TopicPartition, int]:
        """Write all of the records.

        Returns:
            The offset behind the last of them in each partition.

        Raises:
            FencedError: another producer with this id has started.
            BatchRefusedError: a topic refuses them.
            TopicError: there is no such topic or partition.
            BrokerError: it is not running.
        """
        if not self._epoch:
            raise BrokerError("this producer is not running: start a new one")
        if self._epoch != self._epochs.current(self._id):
            raise FencedError(
                f"another producer with the transactional id {self._id!r} has started"
            )
        batches = [(record.place, self._batch(record)) for record in records]
        bases = self._producer.append_all(batches)
        return {place: base + 1 for (place, _), base in zip(batches, bases, strict=True)}

    def _batch(self, record: OutgoingRecord) -> MemoryBatch:
        batch = self._producer.create_batch(record.max_batch_bytes, FOR_LARGE)
        batch.append(
            timestamp=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        return batch
