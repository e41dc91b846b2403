"""What the Kafka client has buffered: nothing of it comes after a seek or a revocation."""

import asyncio
from collections import defaultdict

import pytest

from streamapp.brokers.protocols import CommittedOffset, Consumer
from streamapp.record import Record, TopicPartition
from tests.contract.conftest import kafka_subject
from tests.contract.harness import (
    PATIENCE_SECONDS,
    Listener,
    Subject,
    assigned,
    group_of,
    numbered,
    places,
    read,
    until,
)
from tests.kafka import Kafka
from tests.patience import within

BATCHES, BATCH_RECORDS = 4, 10
TOTAL = BATCHES * BATCH_RECORDS


@pytest.fixture
def subject(kafka: Kafka) -> Subject:
    return kafka_subject(kafka)


async def filled(subject: Subject, partitions: int) -> str:
    """A topic with some compressed batches in each partition."""
    topic = await subject.topic(partitions=partitions, compression_type="gzip")
    async with subject.producer() as producer:
        for place in places(topic, partitions):
            for start in range(0, TOTAL, BATCH_RECORDS):
                batch = producer.create_batch()
                for value in numbered(BATCH_RECORDS, start):
                    assert (
                        batch.append(timestamp=None, key=None, value=value, headers=()) is not None
                    )
                await (await producer.send_batch(batch, topic, place.partition))
    return topic


def offsets_of(records: list[Record]) -> list[int]:
    return [record.offset for record in records]


@pytest.mark.parametrize("target", [0, 3, 14, 17, 25, TOTAL - 1])
async def test_nothing_of_before_a_seek_comes_after_it(subject: Subject, target: int) -> None:
    topic = await filled(subject, 2)
    sought, other = sorted(places(topic, 2))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, (sought, other))
        found: dict[TopicPartition, list[int]] = defaultdict(list)
        for place in (sought, other):
            found[place] += offsets_of((await read(consumer, 14, [place]))[place])
        consumer.seek(sought, target)
        assert await consumer.position(sought) == target
        rest = await read(consumer, TOTAL - target + TOTAL - 14)
        assert offsets_of(rest[sought]) == list(range(target, TOTAL))
        assert found[other] + offsets_of(rest[other]) == list(range(TOTAL))


async def test_a_fetch_that_waits_gives_what_a_seek_meanwhile_asks_for(subject: Subject) -> None:
    topic = await filled(subject, 1)
    (place,) = places(topic, 1)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, [place])
        await read(consumer, TOTAL)
        for target in (31, 4, 20):
            fetching = asyncio.create_task(
                consumer.fetch([place], max_records=99, timeout_seconds=PATIENCE_SECONDS)
            )
            await asyncio.sleep(0)
            consumer.seek(place, target)
            async with within(PATIENCE_SECONDS, f"records from {target}"):
                (records,) = (await fetching).values()
            assert offsets_of(list(records))[0] == target
            rest = TOTAL - target - len(records)
            await read(consumer, rest)


async def test_nothing_buffered_comes_once_its_partition_is_revoked(subject: Subject) -> None:
    topic = await filled(subject, 2)
    both = places(topic, 2)
    during: list[object] = []
    consumer: Consumer

    async def drain(partitions: frozenset[TopicPartition]) -> None:
        if partitions:
            during.append(await consumer.fetch(both, max_records=99, timeout_seconds=0.3))
            await consumer.commit(dict.fromkeys(partitions, CommittedOffset(5)))

    listener = Listener(revoking=drain)
    config = group_of(topic)
    async with subject.member(config, listener) as consumer:
        await assigned(consumer, both)
        for place in both:
            await read(consumer, 14, [place])
        second = Listener()
        async with subject.member(config, second) as other:
            await until(
                lambda: len(consumer.assignment()) == 1 == len(other.assignment()), consumer, other
            )
            assert during == [{}]
            for member in (consumer, other):
                (place,) = member.assignment()
                found = await read(member, TOTAL - 5, both)
                assert {p: offsets_of(records) for p, records in found.items()} == {
                    place: list(range(5, TOTAL))
                }
