"""Writes records to Kafka that no client can parse."""

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from streamapp.record import TopicPartition
from tests.kafka import Kafka


class Latin(str):
    """A header name as careless producers write it."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return super().encode("latin-1")


class LooseBatch(BatchBuilder):  # type: ignore[misc]  # untyped base
    """A batch of the encoder in Python, which takes such names."""

    def __init__(self) -> None:
        super().__init__(1 << 20, 0)
        self._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1 << 20)


async def write_unreadable(kafka: Kafka, place: TopicPartition, *, good: int = 2) -> None:
    """Some records that can be read, and one that cannot, in one batch."""
    batch = LooseBatch()
    for number, name in enumerate((*("a" for _ in range(good)), Latin("\u00fc"))):
        headers = [(name, b"")]
        assert batch.append(timestamp=1, key=None, value=b"%d" % number, headers=headers)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    try:
        await (await producer.send_batch(batch, place.topic, partition=place.partition))
    finally:
        await producer.stop()
