"""Look at what a run left behind, with a plain consumer that shares no code with the contenders."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.measure import PARTITIONS


class WrongOutputError(Exception):
    """A run's outputs are not what they must be."""


async def check_purchases(bootstrap_servers: str, topic: str, records: int) -> None:
    """Hold outputs against their input: count, duplicates, keys, order for each key, values.

    Raises:
        WrongOutputError: something is lost, twice, out of order, under another key, or wrong.
    """
    seen = bytearray(records)
    following: dict[bytes, int] = {}
    async with _consumer(bootstrap_servers) as consumer:
        async for record in _read(consumer, topic):
            value = orjson.loads(record.value)
            number, key = value["purchase_id"], record.key
            where = f"{topic}: purchase {number}"
            if seen[number]:
                raise WrongOutputError(f"{where} is there twice")
            seen[number] = 1
            if key != value["customer_id"].encode():
                raise WrongOutputError(f"{where} has the key {key!r}")
            if value["sequence"] != following.get(key, 0):
                raise WrongOutputError(f"{where} is out of the order of its key")
            following[key] = value["sequence"] + 1
            if value["total_cents"] != value["quantity"] * value["unit_price_cents"]:
                raise WrongOutputError(f"{where} has a wrong total")
    if missing := records - sum(seen):
        raise WrongOutputError(f"{topic}: {missing} of {records} records are lost")


async def check_committed(bootstrap_servers: str, group: str, topic: str) -> None:
    """Whether the group has committed the end of every partition.

    Raises:
        WrongOutputError: it has not.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    async with _consumer(bootstrap_servers) as consumer:
        ends = await _ends(consumer, [topic])
    for partition, end in ends.items():
        stored = committed.get(partition)
        if end and (stored is None or stored.offset != end):
            raise WrongOutputError(f"{group}: {partition} ends at {end}, committed is {stored}")


async def count(bootstrap_servers: str, topics: Collection[str]) -> int:
    """Records that topics hold, which were written without transactions and never compacted."""
    async with _consumer(bootstrap_servers) as consumer:
        return sum((await _ends(consumer, topics)).values())


@asynccontextmanager
async def _consumer(bootstrap_servers: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _ends(consumer: Any, topics: Collection[str]) -> dict[TopicPartition, int]:
    names = [TopicPartition(topic, i) for topic in topics for i in range(PARTITIONS)]
    ends: dict[TopicPartition, int] = await consumer.end_offsets(names)
    return ends


async def _read(consumer: Any, topic: str) -> AsyncIterator[Any]:
    """Everything that the topic holds now."""
    ends = await _ends(consumer, [topic])
    consumer.assign(list(ends))
    left = {partition for partition, end in ends.items() if end}
    while left:
        for partition, records in (await consumer.getmany(*left, timeout_ms=1000)).items():
            for record in records:
                yield record
            if records[-1].offset + 1 >= ends[partition]:
                left.discard(partition)
