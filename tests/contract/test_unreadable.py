"""Records that cannot be read: told with their place, and after all that stands before them."""

import struct
from collections.abc import Callable, Collection
from contextlib import suppress

import aiokafka.codec
import pytest
from aiokafka.record.util import calc_crc32c

from streamapp.brokers.protocols import Consumer, ConsumerConfig
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
    read_values,
    until,
)
from tests.contract.unreadable import write_unreadable
from tests.kafka import Kafka, unique_name
from tests.patience import within

CRC_AT, ATTRIBUTES_AT, RECORDS_AT = 17, 21, 61
"""Where they stand in a batch."""


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


def with_another_bit(batch: bytearray) -> None:
    batch[-2] ^= 1


def with_a_record_longer_than_it_is(batch: bytearray) -> None:
    batch[RECORDS_AT] = 0x7E
    sign(batch)


def with_zeros_for_records(batch: bytearray) -> None:
    batch[RECORDS_AT:] = bytes(len(batch) - RECORDS_AT)
    sign(batch)


def sign(batch: bytearray) -> None:
    """Make the checksum that of what the batch holds now."""
    struct.pack_into(">I", batch, CRC_AT, calc_crc32c(bytes(batch[ATTRIBUTES_AT:])))


def corrupt_second_batch(
    kafka: Kafka, place: TopicPartition, corrupt: Callable[[bytearray], None]
) -> None:
    """Change bytes in the file of the log, as a failing disk does; a producer cannot do it."""
    folder = f"{place.topic}-{place.partition}"
    (log,) = kafka.broker.folder.glob(f"**/{folder}/{0:020}.log")
    with log.open("r+b") as file:
        data = file.read()
        start = batch_end(data, 0)
        batch = bytearray(data[start : batch_end(data, start)])
        corrupt(batch)
        file.seek(start)
        file.write(batch)


def batch_end(data: bytes, start: int) -> int:
    length: int = struct.unpack_from(">i", data, start + 8)[0]
    return start + 12 + length


async def read_beside(
    consumer: Consumer,
    bad: TopicPartition,
    good: Collection[TopicPartition],
    error: type[Exception],
) -> dict[TopicPartition, list[bytes | None]]:
    """What all partitions give at once, when the next record of one of them cannot be read."""
    with pytest.raises(error):
        await fetch_until_error(consumer, bad)
    buffered = consumer._client._fetcher._records  # type: ignore[attr-defined]  # of the client
    await until(lambda: {bad, *good} <= set(buffered), consumer)
    fetched = await consumer.fetch([bad, *good], max_records=99, timeout_seconds=0)
    for _ in range(2):
        with pytest.raises(error):
            await fetch_until_error(consumer, bad)
    return {place: [record.value for record in records] for place, records in fetched.items()}


@pytest.mark.parametrize(
    ("codec", "corrupt"),
    [
        ("uncompressed", with_another_bit),
        ("uncompressed", with_a_record_longer_than_it_is),
        ("gzip", with_zeros_for_records),  # each library of a codec has an error of its own
        ("zstd", with_zeros_for_records),
    ],
)
async def test_corrupted_bytes_hold_their_partition_and_no_other(
    kafka: Kafka, subject: Subject, codec: str, corrupt: Callable[[bytearray], None]
) -> None:
    topic = await subject.topic(partitions=4, compression_type=codec)
    good, bad = [TopicPartition(topic, n) for n in (0, 1, 3)], TopicPartition(topic, 2)
    for place in (*good, bad):
        for start in (0, 10, 20):
            await subject.write(topic, numbered(10, start), place.partition)
    corrupt_second_batch(kafka, bad, corrupt)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, (*good, bad))
        assert await read_values(consumer, 10, [bad]) == numbered(10)
        found = await read_beside(consumer, bad, good, UnreadableRecordError)
        assert found == dict.fromkeys(good, numbered(30))
        assert await consumer.position(bad) == 10
        with pytest.raises(UnreadableRecordError) as raised:
            await fetch_until_error(consumer, bad)
        consumer.seek(bad, 20)
        assert await read_values(consumer, 10, [bad]) == numbered(10, 20)
    assert (raised.value.partition, raised.value.offset) == (bad, 10)
    assert "check that Kafka runs" not in str(raised.value)  # gzip calls broken bytes an OSError


async def test_after_a_fetch_that_could_not_be_parsed_fetches_are_whole_again(
    kafka: Kafka, subject: Subject
) -> None:
    topic = await subject.topic()
    place = TopicPartition(topic, 0)
    for start in (0, 10, 20):
        await subject.write(topic, numbered(10, start))
    corrupt_second_batch(kafka, place, with_another_bit)
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, [place])
        assert await read_values(consumer, 10) == numbered(10)
        with pytest.raises(UnreadableRecordError):
            await fetch_until_error(consumer, place)
        corrupt_second_batch(kafka, place, with_another_bit)  # the same bit: it is whole again
        sizes: list[int] = []
        async with within(PATIENCE_SECONDS, "the other records", lambda: sizes):
            while sum(sizes) < 20:
                with suppress(UnreadableRecordError):  # of a response that was buffered before
                    fetched = await consumer.fetch([place], max_records=99, timeout_seconds=0.2)
                    sizes += map(len, fetched.values())
        assert len(sizes) == 1


async def test_a_codec_without_its_library_holds_its_partition_and_no_other(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await subject.topic(partitions=2)
    packed = await subject.topic(compression_type="zstd")
    good, bad = sorted(places(plain, 2)), TopicPartition(packed, 0)
    for place in (*good, bad):
        for start in (0, 10):
            await subject.write(place.topic, numbered(10, start), place.partition)
    config = ConsumerConfig(group=unique_name("group"), topics=(plain, packed))
    with monkeypatch.context() as without_library:
        without_library.setattr(aiokafka.codec, "cramjam", None)
        async with subject.member(config) as consumer:
            await assigned(consumer, (*good, bad))
            found = await read_beside(consumer, bad, good, ConfigurationError)
            assert found == dict.fromkeys(good, numbered(20))
            assert await consumer.position(bad) == 0
            without_library.undo()
            assert await read_values(consumer, 20, [bad]) == numbered(20)
