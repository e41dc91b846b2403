"""What is written is what is read."""

import asyncio
from typing import Any

import pytest

from streamapp.brokers.protocols import ProducerConfig
from streamapp.clock import SystemClock
from streamapp.errors import BrokerError, TopicError
from streamapp.record import TopicPartition
from tests.contract.harness import Subject, group_of, numbered, places, read, read_values, send
from tests.patience import within


async def test_records_of_a_partition_come_in_the_order_they_were_written(
    subject: Subject,
) -> None:
    topic = await subject.topic(partitions=2)
    async with subject.producer() as producer:
        for start in (0, 50, 100):
            for partition in (0, 1):
                await send(producer, topic, numbered(50, start), partition)
    async with subject.member(group_of(topic)) as consumer:
        found = await read(consumer, 300)
    for place in places(topic, 2):
        assert [record.value for record in found[place]] == numbered(150)
        assert [record.offset for record in found[place]] == list(range(150))


async def test_unawaited_batches_keep_the_order_of_their_calls(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.producer() as producer:
        acknowledgements = []
        for start in range(0, 100, 10):
            batch = producer.create_batch()
            for value in numbered(10, start):
                batch.append(timestamp=None, key=None, value=value)
            acknowledgements.append(await producer.send_batch(batch, topic, 0))
        await asyncio.gather(*acknowledgements)
    async with subject.member(group_of(topic)) as consumer:
        assert await read_values(consumer, 100) == numbered(100)


async def test_key_value_headers_and_timestamp_are_kept_byte_for_byte(subject: Subject) -> None:
    topic = await subject.topic()
    written = [
        (1_700_000_000_000, b"key", b"value", (("a", b"1"), ("a", b"2"), ("ü", b""))),
        (1_700_000_000_001, None, b"", ()),
        (1_600_000_000_000, b"", None, ()),
        (1_700_000_000_002, None, None, ()),
    ]
    async with subject.producer() as producer:
        batch = producer.create_batch()
        for timestamp, key, value, headers in written:
            batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
        await (await producer.send_batch(batch, topic, 0))
    async with subject.member(group_of(topic)) as consumer:
        (records,) = (await read(consumer, 4)).values()
    assert [(r.timestamp, r.key, r.value, tuple(r.headers)) for r in records] == written


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_topic_of_every_compression_is_read(subject: Subject, codec: str) -> None:
    topic = await subject.topic(compression_type=codec)
    written = [b"%d" % number * 200 for number in range(100)]
    await subject.write(topic, written)
    async with subject.member(group_of(topic)) as consumer:
        assert await read_values(consumer, 100) == written


async def test_a_record_without_timestamp_gets_the_time_of_its_appending(subject: Subject) -> None:
    topic = await subject.topic()
    before = int(SystemClock().time() * 1000)
    await subject.write(topic, [b"now"])
    after = int(SystemClock().time() * 1000)
    async with subject.member(group_of(topic)) as consumer:
        (records,) = (await read(consumer, 1)).values()
    assert before <= records[0].timestamp <= after


@pytest.mark.parametrize(
    "bad",
    [
        {"key": "text"},
        {"value": "text"},
        {"value": 7},
        {"headers": [("name", "text")]},
        {"headers": [("name", 7)]},
        {"headers": [("name", bytearray(b"1"))]},
        {"headers": [(b"name", b"")]},
        {"headers": [["name", b""]]},
        {"headers": ["ab"]},
    ],
    ids=str,
)
async def test_a_batch_refuses_what_has_no_place_in_a_record(
    subject: Subject, bad: dict[str, Any]
) -> None:
    async with subject.producer() as producer:
        batch = producer.create_batch()
        with pytest.raises(TypeError):
            batch.append(**{"timestamp": 1, "key": None, "value": b"", **bad})
        assert batch.record_count() == 0


async def test_a_header_without_a_value_is_kept(subject: Subject) -> None:
    topic = await subject.topic()
    headers: Any = [("empty", b""), ("null", None)]
    async with subject.producer() as producer:
        await send(producer, topic, [b"v"], headers=headers)
    async with subject.member(group_of(topic)) as consumer:
        (records,) = (await read(consumer, 1)).values()
    assert list(records[0].headers) == headers


async def test_a_full_batch_takes_no_more_and_keeps_what_it_has(subject: Subject) -> None:
    async with subject.producer(ProducerConfig(max_batch_bytes=1000)) as producer:
        batch = producer.create_batch()
        taken = 0
        while batch.append(timestamp=1, key=b"k", value=b"v" * 100) is not None:
            taken += 1
        assert (taken, batch.record_count()) == (8, 8)
        assert batch.size() == 61 + 8 * 110
        assert batch.append(timestamp=1, key=None, value=b"") is None


async def test_an_empty_batch_takes_one_record_of_any_size(subject: Subject) -> None:
    async with subject.producer(ProducerConfig(max_batch_bytes=100)) as producer:
        batch = producer.create_batch()
        assert batch.append(timestamp=1, key=None, value=b"v" * 5000) is not None
        assert batch.append(timestamp=1, key=None, value=b"") is None


async def test_a_batch_over_the_limit_of_its_topic_fails_whole(subject: Subject) -> None:
    topic = await subject.topic(max_message_bytes="2000")
    async with subject.producer() as producer:
        with pytest.raises(BrokerError, match=topic):
            await send(producer, topic, [b"small", b"v" * 3000])
    async with subject.producer() as producer:
        await send(producer, topic, [b"after"])
    async with subject.member(group_of(topic)) as consumer:
        assert await read_values(consumer, 1) == [b"after"]


async def test_a_batch_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(
    subject: Subject,
) -> None:
    async with subject.producer() as producer:
        batch = producer.create_batch()
        batch.append(timestamp=1, key=b"k", value=b"v" * 500)
        topic = await subject.topic(max_message_bytes=str(batch.size()))
        await (await producer.send_batch(batch, topic, 0))
        batch = producer.create_batch()
        batch.append(timestamp=1, key=b"k", value=b"v" * 501)
        with pytest.raises(BrokerError):
            await (await producer.send_batch(batch, topic, 0))


async def test_a_batch_is_full_at_the_bytes_asked_for_and_a_topic_of_that_limit_takes_it(
    subject: Subject,
) -> None:
    topic = await subject.topic(max_message_bytes="2000")
    async with subject.producer() as producer:
        batch = producer.create_batch(2000)
        count = 0
        while batch.append(timestamp=count, key=b"k", value=b"v" * 50, headers=[("h", b"h")]):
            count += 1
        await (await producer.send_batch(batch, topic, 0))
    assert 20 < count < 35


async def test_after_a_failed_batch_every_later_one_of_its_producer_and_partition_fails(
    subject: Subject,
) -> None:
    topic = await subject.topic(partitions=2, max_message_bytes="2000")
    async with subject.producer() as producer:
        await send(producer, topic, [b"before"])
        with pytest.raises(BrokerError):
            await send(producer, topic, [b"v" * 3000])
        for _ in range(2):
            with pytest.raises(BrokerError, match="stop it and start a new one"):
                await send(producer, topic, [b"later"])
        await send(producer, topic, [b"elsewhere"], partition=1)
    await subject.write(topic, [b"by a new one"])
    async with subject.member(group_of(topic)) as consumer:
        found = await read(consumer, 3)
    assert [r.value for r in found[TopicPartition(topic, 0)]] == [b"before", b"by a new one"]
    assert [r.value for r in found[TopicPartition(topic, 1)]] == [b"elsewhere"]


async def test_a_failed_first_batch_leaves_no_gap_in_the_sequence(subject: Subject) -> None:
    topic = await subject.topic(max_message_bytes="2000")
    async with subject.producer() as producer:
        with pytest.raises(BrokerError):
            await send(producer, topic, [b"v" * 3000])
        await send(producer, topic, [b"later"])
    async with subject.member(group_of(topic)) as consumer:
        assert await read_values(consumer, 1) == [b"later"]


async def test_offsets_have_gaps_and_reading_goes_over_them(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(2))
    await subject.open_gap(place)
    await subject.write(topic, numbered(2, 2))
    await subject.open_gap(place)
    async with subject.member(group_of(topic)) as consumer:
        (records,) = (await read(consumer, 4)).values()
        assert [(r.offset, r.value) for r in records] == [
            (0, b"0"),
            (1, b"1"),
            (5, b"2"),
            (6, b"3"),
        ]
        # With nothing left to deliver, the position passes the gap at the end.
        await read(consumer, 0)
        async with within(10, "position 10"):
            while await consumer.position(place) != 10:
                assert not await consumer.fetch([place], max_records=9, timeout_seconds=0.2)
        assert await consumer.end_offsets([place]) == {place: 10}


async def test_the_number_of_partitions_is_known_and_a_missing_topic_is_an_error(
    subject: Subject,
) -> None:
    topic = await subject.topic(partitions=3)
    async with subject.producer() as producer:
        assert await producer.partition_count(topic) == 3
        with pytest.raises(TopicError, match="'no-such-topic' does not exist"):
            await producer.partition_count("no-such-topic")
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=b"")
        with pytest.raises(TopicError, match="none of the number 3"):
            await producer.send_batch(batch, topic, 3)
        with pytest.raises(TopicError, match="'no-such-topic' does not exist"):
            await producer.send_batch(producer.create_batch(), "no-such-topic", 0)


async def test_a_stopped_producer_refuses_batches(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.producer() as producer:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=b"")
    with pytest.raises(BrokerError, match="not running"):
        await producer.send_batch(batch, topic, 0)
