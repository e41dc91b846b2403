"""Partitions are read without a group, and found by the time of their records."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from streamapp.brokers.protocols import PartitionReader
from streamapp.errors import BrokerError, OffsetOutOfRangeError, UnreadableRecordError
from streamapp.record import TopicPartition
from tests.contract.harness import Subject


@asynccontextmanager
async def reading(
    subject: Subject, starts: Mapping[TopicPartition, int]
) -> AsyncIterator[PartitionReader]:
    reader = subject.broker.partition_reader()
    await reader.start(starts)
    try:
        yield reader
    finally:
        await reader.stop()


async def values(reader: PartitionReader, ends: Mapping[TopicPartition, int]) -> list[bytes]:
    """Values of all records below these offsets, in the order in which they came."""
    found: list[bytes] = []
    left = dict(ends)
    while left:
        fetched = await reader.fetch(list(left), max_records=2, timeout_seconds=1)
        found += [record.value or b"" for records in fetched.values() for record in records]
        for place in [one for one, end in left.items() if await reader.position(one) >= end]:
            del left[place]
    return found


async def test_partitions_are_read_from_where_they_are_wanted_and_no_group_is_made(
    subject: Subject,
) -> None:
    topic = await subject.topic(partitions=2)
    one, two = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await subject.write(topic, [b"a", b"b", b"c"], 0)
    await subject.write(topic, [b"d", b"e"], 1)
    async with subject.admin() as admin:
        groups = await admin.list_groups()
        async with reading(subject, {one: 1, two: 0}) as reader:
            assert sorted(await values(reader, {one: 3, two: 2})) == [b"b", b"c", b"d", b"e"]
            reader.seek(one, 0)
            assert await values(reader, {one: 3}) == [b"a", b"b", b"c"]
        assert await admin.list_groups() == groups


async def test_a_position_that_was_deleted_is_told(subject: Subject) -> None:
    topic = await subject.topic()
    place = TopicPartition(topic, 0)
    await subject.write(topic, [b"a", b"b", b"c"])
    async with subject.admin() as admin:
        await admin.delete_records({place: 2})
    async with reading(subject, {place: 0}) as reader:
        with pytest.raises(OffsetOutOfRangeError) as raised:
            await values(reader, {place: 3})
        assert raised.value.offsets == {place: 0}
        reader.seek(place, 2)
        assert await values(reader, {place: 3}) == [b"c"]


async def test_a_record_that_cannot_be_parsed_is_told_with_its_place(subject: Subject) -> None:
    place = TopicPartition(await subject.topic(), 0)
    await subject.put_unreadable(place)
    async with reading(subject, {place: 0}) as reader:
        with pytest.raises(UnreadableRecordError, match="cannot be read") as raised:
            await values(reader, {place: 10})
        assert raised.value.partition == place


async def test_a_reader_says_that_the_broker_cannot_be_reached(subject: Subject) -> None:
    reader = subject.unreachable.partition_reader()
    with pytest.raises(BrokerError, match=subject.unreachable_address):
        await reader.start({})


async def test_offsets_are_found_by_time(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    one, two = TopicPartition(topic, 0), TopicPartition(topic, 1)
    async with subject.producer() as producer:
        batch = producer.create_batch()
        for timestamp in (1000, 5000, 3000, 9000):
            assert batch.append(timestamp=timestamp, key=None, value=b"") is not None
        await (await producer.send_batch(batch, topic, 0))
    async with subject.admin() as admin:
        assert await admin.offsets_from([one, two], 3000) == {one: 1, two: 0}
        assert await admin.offsets_from([one], 5001) == {one: 3}
        assert await admin.offsets_from([one], 0) == {one: 0}
        assert await admin.offsets_from([one], 9001) == {one: 4}
        assert await admin.offsets_from([], 0) == {}
