"""Producers that write in transactions: all or nothing, and only the last started writes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from streamapp.brokers.protocols import OutgoingRecord, TransactionalProducer
from streamapp.errors import BatchRefusedError, BrokerError, FencedError, TopicError
from streamapp.record import TopicPartition
from tests.contract.harness import Subject, assigned, group_of, places
from tests.kafka import unique_name

NOWHERE = TopicPartition("none", 0)


@asynccontextmanager
async def started(subject: Subject, name: str) -> AsyncIterator[TransactionalProducer]:
    producer = subject.broker.transactional_producer(name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def values(subject: Subject, topic: str, partitions: int = 1) -> list[bytes | None]:
    """What a reader of committed records finds."""
    found: list[bytes | None] = []
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, partitions))
        async with subject.admin() as admin:
            ends = await admin.end_offsets(places(topic, partitions))
        for place, end in ends.items():
            while await consumer.position(place) < end:
                fetched = await consumer.fetch([place], max_records=99, timeout_seconds=0.2)
                found += [record.value for records in fetched.values() for record in records]
    return found


def records(topic: str, *contents: bytes, partition: int = 0) -> Sequence[OutgoingRecord]:
    place = TopicPartition(topic, partition)
    return [OutgoingRecord(place, b"k", content, [("h", b"1")]) for content in contents]


async def test_the_records_of_a_transaction_are_read_in_their_order(subject: Subject) -> None:
    one, other = await subject.topic(), await subject.topic(partitions=2)
    async with started(subject, unique_name("tx")) as producer:
        await producer.write([*records(one, b"1", b"2"), *records(other, b"3", partition=1)])
        await producer.write(records(one, b"4"))
    assert await values(subject, one) == [b"1", b"2", b"4"]
    assert await values(subject, other, 2) == [b"3"]


async def test_a_producer_whose_id_another_one_has_taken_writes_no_more(subject: Subject) -> None:
    topic, name = await subject.topic(), unique_name("tx")
    async with started(subject, name) as first:
        await first.write(records(topic, b"1"))
        async with started(subject, name) as second:
            with pytest.raises(FencedError, match=name):
                await first.write(records(topic, b"lost"))
            await second.write(records(topic, b"2"))
    assert await values(subject, topic) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("at_fault", "error"),
    [
        (OutgoingRecord(NOWHERE, b"k", b"x" * 5000), BatchRefusedError),
        (OutgoingRecord(NOWHERE, b"k", "no bytes"), TypeError),  # type: ignore[arg-type] # wrong
    ],
    ids=["refused by its topic", "no bytes"],
)
async def test_what_fails_with_one_record_is_written_to_no_topic(
    subject: Subject, at_fault: OutgoingRecord, error: type[Exception]
) -> None:
    topic, small = await subject.topic(), await subject.topic(max_message_bytes="1000")
    place = TopicPartition(small, 0)
    async with started(subject, unique_name("tx")) as producer:
        with pytest.raises(error):
            await producer.write([*records(topic, b"1"), replace(at_fault, place=place)])
    assert await values(subject, topic) == await values(subject, small) == []


async def test_a_topic_that_does_not_exist_keeps_what_is_for_others_unwritten(
    subject: Subject,
) -> None:
    topic = await subject.topic()
    async with started(subject, unique_name("tx")) as producer:
        with pytest.raises((BrokerError, TopicError)):
            await producer.write([*records(topic, b"1"), *records(unique_name("none"), b"2")])
    assert await values(subject, topic) == []


async def test_a_write_that_is_cancelled_is_read_in_all_topics_or_in_none(
    subject: Subject,
) -> None:
    one, other = await subject.topic(), await subject.topic()
    async with started(subject, unique_name("tx")) as producer:
        writing = asyncio.create_task(producer.write([*records(one, b"1"), *records(other, b"1")]))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
    assert await values(subject, one) == await values(subject, other)


async def test_a_record_that_only_fits_compressed_is_compressed(subject: Subject) -> None:
    topic = await subject.topic(max_message_bytes="100000")
    large = OutgoingRecord(TopicPartition(topic, 0), b"k", b"x" * 300_000, max_batch_bytes=100_000)
    async with started(subject, unique_name("tx")) as producer:
        ends = await producer.write([*records(topic, b"1"), large, *records(topic, b"2")])
    assert await values(subject, topic) == [b"1", b"x" * 300_000, b"2"]
    assert ends == {TopicPartition(topic, 0): 3}


async def test_a_producer_that_is_not_started_says_so(subject: Subject) -> None:
    producer = subject.broker.transactional_producer(unique_name("tx"))
    with pytest.raises(BrokerError, match="not running"):
        await producer.write([])
