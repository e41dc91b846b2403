"""Records that cannot be read: told with their place, and after all that stands before them."""

import aiokafka.codec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from streamapp.brokers.protocols import Consumer
from streamapp.errors import ConfigurationError, UnreadableRecordError
from streamapp.record import TopicPartition
from tests.contract.conftest import kafka_subject
from tests.contract.harness import (
    PATIENCE_SECONDS,
    Subject,
    assigned,
    fetch_until_error,
    group_of,
    numbered,
    places,
    read,
)
from tests.kafka import Kafka
from tests.patience import within


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


async def write_unreadable(kafka: Kafka, place: TopicPartition) -> None:
    """Two records that can be read, and one that cannot, in one batch."""
    batch = LooseBatch()
    for number, name in enumerate(("a", "b", Latin("\u00fc"))):
        headers = [(name, b"")]
        assert batch.append(timestamp=1, key=None, value=b"%d" % number, headers=headers)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    try:
        await (await producer.send_batch(batch, place.topic, partition=place.partition))
    finally:
        await producer.stop()


async def read_on(consumer: Consumer, found: dict[TopicPartition, list[bytes | None]]) -> None:
    """Read these partitions until the consumer raises."""
    async with within(PATIENCE_SECONDS, "an unreadable record", lambda: found):
        while True:
            fetched = await consumer.fetch(found, max_records=99, timeout_seconds=0.2)
            for place, records in fetched.items():
                found[place] += [record.value for record in records]


@pytest.fixture
def subject(kafka: Kafka) -> Subject:
    return kafka_subject(kafka)


async def test_a_record_that_cannot_be_parsed_is_named_after_all_before_it(
    kafka: Kafka, subject: Subject
) -> None:
    topic = await subject.topic(partitions=2)
    zero, one = sorted(places(topic, 2))
    await subject.write(topic, numbered(50), zero.partition)
    await subject.write(topic, numbered(3), one.partition)
    await write_unreadable(kafka, one)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, (zero, one))
        found: dict[TopicPartition, list[bytes | None]] = {zero: [], one: []}
        with pytest.raises(UnreadableRecordError) as raised:
            await read_on(consumer, found)
        assert found[one] == [*numbered(3), *numbered(2)]
        assert found[zero] == numbered(len(found[zero]))
        assert await consumer.position(zero) == len(found[zero])
        consumer.seek(one, 6)
        await subject.write(topic, [b"after"], one.partition)
        assert [r.value for r in (await read(consumer, 1, [one]))[one]] == [b"after"]
    assert (raised.value.partition, raised.value.offset) == (one, 5)
    sentence = str(raised.value)
    assert f"offset 5 of topic {topic!r} partition 1 cannot be read" in sentence
    assert "set its offset to 6" in sentence


async def test_a_codec_without_its_library_is_told_as_such(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = kafka_subject(kafka)
    topic = await subject.topic(compression_type="zstd")
    await subject.write(topic, numbered(3))
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 1))
        with pytest.raises(ConfigurationError, match=r"zstd .*; install cramjam"):
            await fetch_until_error(consumer, TopicPartition(topic, 0))
