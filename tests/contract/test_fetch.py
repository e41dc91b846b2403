"""Reading: what a fetch gives, waits for and leaves for later."""

import asyncio

import pytest

from streamapp.brokers.protocols import Consumer, ConsumerConfig
from streamapp.errors import BrokerError, OffsetOutOfRangeError
from streamapp.record import TopicPartition
from tests.contract.harness import (
    PATIENCE_SECONDS,
    Listener,
    Subject,
    assigned,
    fetch_until_error,
    group_of,
    numbered,
    places,
    read,
    read_values,
    until,
)
from tests.patience import within


async def test_a_fetch_of_named_partitions_leaves_the_others_for_later(subject: Subject) -> None:
    topic = await subject.topic(partitions=3)
    zero, one, two = sorted(places(topic, 3))
    for place in (zero, one, two):
        await subject.write(topic, numbered(20), place.partition)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, (zero, one, two))
        assert set(await read(consumer, 20, [one])) == {one}
        assert await consumer.position(zero) == 0
        found = await read(consumer, 40, [two, zero])
        assert {place: len(records) for place, records in found.items()} == {zero: 20, two: 20}


async def test_a_fetch_gives_no_more_records_than_it_was_asked_for(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    for place in places(topic, 2):
        await subject.write(topic, numbered(50), place.partition)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 2))
        total = 0
        async with within(PATIENCE_SECONDS, "100 records", lambda: total):
            while total < 100:
                fetched = await consumer.fetch(
                    consumer.assignment(), max_records=7, timeout_seconds=0.2
                )
                count = sum(map(len, fetched.values()))
                assert count <= 7
                total += count
        assert total == 100


async def test_the_position_moves_past_what_was_returned(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(10))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, [place])
        assert await consumer.position(place) == 0
        assert await read_values(consumer, 4) == numbered(4)
        assert await consumer.position(place) == 4
        assert await read_values(consumer, 6) == numbered(6, 4)


async def test_a_fetch_waits_for_records_and_returns_when_they_come(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 1))
        fetching = asyncio.create_task(
            consumer.fetch(places(topic, 1), max_records=9, timeout_seconds=PATIENCE_SECONDS)
        )
        await subject.write(topic, [b"late"])
        async with within(PATIENCE_SECONDS, "the record that was written while it waited"):
            (records,) = (await fetching).values()
        assert [record.value for record in records] == [b"late"]


async def test_a_fetch_of_nothing_waits_out_its_time_and_takes_nothing(subject: Subject) -> None:
    topic = await subject.topic()
    await subject.write(topic, numbered(5))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 1))
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await consumer.fetch((), max_records=9, timeout_seconds=0.3) == {}
        assert loop.time() - before >= 0.29  # the wait itself is the behaviour
        assert await read_values(consumer, 5) == numbered(5)


async def test_partitions_that_are_not_held_are_left_out_of_a_fetch(subject: Subject) -> None:
    topic = await subject.topic()
    await subject.write(topic, numbered(3))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 1))
        stranger = TopicPartition(topic, 9)
        assert await consumer.fetch([stranger], max_records=9, timeout_seconds=0) == {}
        assert set(await read(consumer, 3, [stranger, *places(topic, 1)])) == places(topic, 1)


async def test_a_paused_partition_gives_nothing_until_it_is_resumed(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    zero, one = sorted(places(topic, 2))
    for place in (zero, one):
        await subject.write(topic, numbered(20), place.partition)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, (zero, one))
        first = await read(consumer, 5, [zero])
        consumer.pause(zero)
        assert set(await read(consumer, 20)) == {one}
        assert await consumer.fetch([zero, one], max_records=9, timeout_seconds=0.3) == {}
        consumer.resume(zero)
        rest = await read(consumer, 15)
        offsets = [record.offset for record in first[zero] + rest[zero]]
        assert offsets == list(range(20))  # what was thrown away is fetched again, once


async def test_pausing_twice_and_resuming_what_runs_change_nothing(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(3))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, [place])
        consumer.resume(place)
        consumer.pause(place)
        consumer.pause(place)
        consumer.resume(place)
        assert await read_values(consumer, 3) == numbered(3)


async def test_reading_goes_on_where_a_seek_says(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(10))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, [place])
        await read(consumer, 6)
        consumer.seek(place, 2)
        assert await consumer.position(place) == 2
        assert await read_values(consumer, 8) == numbered(8, 2)
        consumer.seek(place, 9)
        assert await read_values(consumer, 1) == [b"9"]


async def test_what_is_not_held_cannot_be_sought_or_paused(subject: Subject) -> None:
    topic = await subject.topic()
    stranger = TopicPartition(topic, 9)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 1))
        with pytest.raises(BrokerError, match="does not hold"):
            consumer.seek(stranger, 0)
        with pytest.raises(BrokerError, match="does not hold"):
            consumer.pause(stranger)
        with pytest.raises(BrokerError, match="does not hold"):
            consumer.resume(stranger)
        with pytest.raises(BrokerError, match="does not hold"):
            await consumer.position(stranger)


@pytest.mark.parametrize("offset_reset", ["earliest", "latest"])
async def test_a_position_that_was_deleted_is_an_error_until_a_seek(
    subject: Subject, offset_reset: str
) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(10))
    async with (
        subject.member(group_of(topic, offset_reset=offset_reset)) as consumer,
        subject.admin() as admin,
    ):
        await assigned(consumer, [place])
        await admin.delete_records({place: 6})
        consumer.seek(place, 3)
        for _ in range(2):
            with pytest.raises(OffsetOutOfRangeError, match=topic) as caught:
                await fetch_until_error(consumer, place)
            assert caught.value.offsets == {place: 3}
        consumer.seek(place, 6)
        assert await read_values(consumer, 4) == numbered(4, 6)


async def test_a_position_past_the_end_is_an_error(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(3))
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, [place])
        consumer.seek(place, 99)
        with pytest.raises(OffsetOutOfRangeError, match=topic) as caught:
            await fetch_until_error(consumer, place)
        assert caught.value.offsets == {place: 99}


async def test_an_error_of_one_partition_holds_no_other(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    zero, one = sorted(places(topic, 2))
    await subject.write(topic, numbered(3), 1)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, (zero, one))
        consumer.seek(zero, 99)
        with pytest.raises(OffsetOutOfRangeError):
            await fetch_until_error(consumer, zero)
        assert await read_values(consumer, 3, [one]) == numbered(3)


async def test_offsets_of_the_log_are_known_to_the_consumer(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    zero, one = sorted(places(topic, 2))
    await subject.write(topic, numbered(10))
    async with subject.member(group_of(topic)) as consumer, subject.admin() as admin:
        await assigned(consumer, (zero, one))
        await admin.delete_records({zero: 4})
        assert await consumer.beginning_offsets([zero, one]) == {zero: 4, one: 0}
        assert await consumer.end_offsets([zero, one]) == {zero: 10, one: 0}


async def test_without_a_commit_reading_starts_where_the_reset_policy_says(
    subject: Subject,
) -> None:
    topic = await subject.topic(partitions=2)
    (place, _) = sorted(places(topic, 2))
    await subject.write(topic, numbered(5))
    async with subject.admin() as admin:
        await admin.delete_records({place: 2})
    async with subject.member(group_of(topic, offset_reset="earliest")) as consumer:
        await assigned(consumer, places(topic, 2))
        assert await consumer.position(place) == 2
        assert await read_values(consumer, 3) == numbered(3, 2)
    async with subject.member(group_of(topic, offset_reset="latest")) as consumer:
        await assigned(consumer, places(topic, 2))
        assert await consumer.position(place) == 5
        await subject.write(topic, [b"new"])
        assert await read_values(consumer, 1) == [b"new"]


async def test_records_come_before_the_assignment_callback_has_ended(subject: Subject) -> None:
    topic = await subject.topic()
    await subject.write(topic, numbered(3))
    read_it = asyncio.Event()

    async def hold(_partitions: frozenset[TopicPartition]) -> None:
        async with within(PATIENCE_SECONDS, "a fetch during the assignment"):
            await read_it.wait()

    listener = Listener(assigning=hold)
    async with subject.member(group_of(topic), listener) as consumer:
        assert await read_values(consumer, 3) == numbered(3)
        read_it.set()


async def test_the_callback_may_ask_for_positions_and_seek(subject: Subject) -> None:
    topic = await subject.topic()
    await subject.write(topic, numbered(5))
    seen: dict[TopicPartition, int] = {}
    consumer: Consumer

    async def look(partitions: frozenset[TopicPartition]) -> None:
        for partition in partitions:
            seen[partition] = await consumer.position(partition)
            consumer.seek(partition, 3)

    consumer = subject.broker.consumer(group_of(topic), Listener(assigning=look))
    await consumer.start()
    try:
        await until(lambda: bool(seen), consumer)
        assert seen == {TopicPartition(topic, 0): 0}
        assert await read_values(consumer, 2) == numbered(2, 3)
    finally:
        await consumer.stop()


async def test_two_topics_are_read_by_one_member(subject: Subject) -> None:
    topics = [await subject.topic(), await subject.topic()]
    for topic in topics:
        await subject.write(topic, numbered(3))
    config = ConsumerConfig(group=group_of("any").group, topics=tuple(topics))
    async with subject.member(config) as consumer:
        found = await read(consumer, 6)
        assert {place.topic for place in found} == set(topics)


async def test_batches_over_the_prefetch_bound_are_still_read(subject: Subject) -> None:
    topic = await subject.topic(partitions=4)
    large = b"v" * 60_000
    for place in places(topic, 4):
        await subject.write(topic, [large] * 5, place.partition)
    async with subject.member(group_of(topic, max_prefetch_bytes=32 * 1024)) as consumer:
        found = await read(consumer, 20)
    assert {place: len(records) for place, records in found.items()} == dict.fromkeys(
        places(topic, 4), 5
    )
