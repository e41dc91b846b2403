"""Transactions on one partition: what was committed is read, in the order of the log."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streamapp.brokers.kafka.forced_close import force_close
from streamapp.brokers.protocols import Admin, Consumer
from streamapp.record import Record, TopicPartition
from tests.contract.conftest import kafka_subject
from tests.contract.harness import PATIENCE_SECONDS, assigned, group_of
from tests.kafka import Kafka, unique_name
from tests.patience import within

END = 20
"""Offset behind the 14 records and the 6 markers."""


@dataclass(frozen=True)
class Writer:
    """A producer that writes batches to one partition; `client` begins and ends transactions."""

    client: Any
    place: TopicPartition

    async def append(self, *values: bytes) -> int:
        """Write these as one batch; the offset of the first."""
        batch = self.client.create_batch()
        for value in values:
            assert batch.append(timestamp=None, key=None, value=value)
        topic, partition = self.place
        written = await (await self.client.send_batch(batch, topic, partition=partition))
        return int(written.offset)


@asynccontextmanager
async def writer(
    kafka: Kafka, place: TopicPartition, *, is_transactional: bool = True
) -> AsyncIterator[Writer]:
    name = unique_name("transactions") if is_transactional else None
    client = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=name)
    await client.start()
    try:
        yield Writer(client, place)
    finally:
        await client.stop()
        await force_close(client)  # its sender may have connected once more meanwhile


async def interleave(one: Writer, two: Writer, plain: Writer) -> None:
    """Of the transactions of each of the two, one is committed and one is aborted."""
    await one.client.begin_transaction()
    await one.append(b"one 0", b"one 1")
    await two.client.begin_transaction()
    await two.append(b"aborted 0")
    await plain.append(b"plain 0")
    await one.append(b"one 2")
    await two.append(b"aborted 1", b"aborted 2")
    await one.client.commit_transaction()
    await plain.append(b"plain 1")
    await two.client.abort_transaction()
    await two.client.begin_transaction()
    await two.append(b"two 0")
    await one.client.begin_transaction()
    await one.append(b"aborted 3")
    await one.client.abort_transaction()
    await two.client.commit_transaction()


INTERLEAVED = [b"one 0", b"one 1", b"plain 0", b"one 2", b"plain 1", b"two 0"]


async def read_until(
    consumer: Consumer, place: TopicPartition, position: int, max_records: int
) -> list[Record]:
    """Read until the consumer stands at this offset, which may be behind markers."""
    found: list[Record] = []
    async with within(PATIENCE_SECONDS, f"position {position}", lambda: found):
        while await consumer.position(place) != position:
            fetched = await consumer.fetch([place], max_records=max_records, timeout_seconds=0.2)
            assert sum(map(len, fetched.values())) <= max_records
            for records in fetched.values():
                found += records
    return found


async def until_it_ends_at(admin: Admin, place: TopicPartition, offset: int) -> None:
    """Markers are written some time after the answer, and the end is before the open ones."""
    async with within(PATIENCE_SECONDS, f"the end at {offset}"):
        while (await admin.end_offsets([place]))[place] != offset:
            pass  # asking takes as long as an answer


@pytest.mark.parametrize(
    ("ending", "max_records", "codec"), [("commit", 1, "lz4"), ("abort", 99, "uncompressed")]
)
async def test_exactly_what_was_committed_is_read_in_order_and_markers_are_passed(
    kafka: Kafka, ending: str, max_records: int, codec: str
) -> None:
    subject = kafka_subject(kafka)
    place = TopicPartition(await subject.topic(compression_type=codec), 0)
    async with AsyncExitStack() as stack:
        one, two, late = [await stack.enter_async_context(writer(kafka, place)) for _ in range(3)]
        plain = await stack.enter_async_context(writer(kafka, place, is_transactional=False))
        admin = await stack.enter_async_context(subject.admin())
        await interleave(one, two, plain)
        await late.client.begin_transaction()
        open_from = await late.append(b"late 0", b"late 1")
        await plain.append(b"plain 2")
        await one.client.begin_transaction()
        await one.append(b"one 3")
        await one.client.commit_transaction()
        await until_it_ends_at(admin, place, open_from)

        consumer = await stack.enter_async_context(subject.member(group_of(place.topic)))
        await assigned(consumer, [place])
        before = await read_until(consumer, place, open_from, max_records)
        assert [record.value for record in before] == INTERLEAVED
        assert await consumer.fetch([place], max_records=9, timeout_seconds=0.3) == {}

        await getattr(late.client, f"{ending}_transaction")()
        await until_it_ends_at(admin, place, END)
        late_records = [b"late 0", b"late 1"] if ending == "commit" else []
        after = await read_until(consumer, place, END, max_records)
        assert [record.value for record in after] == [*late_records, b"plain 2", b"one 3"]

        # Also from within each batch and each transaction, those that were aborted included.
        everything = before + after
        for offset in range(END):
            consumer.seek(place, offset)
            rest = await read_until(consumer, place, END, max_records=99)
            assert [told(record) for record in rest] == [
                told(record) for record in everything if record.offset >= offset
            ]


def told(record: Record) -> tuple[int, bytes | None]:
    return record.offset, record.value
