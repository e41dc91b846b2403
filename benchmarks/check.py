"""Checks the outputs of a run with a plain consumer, which shares no code with the contenders."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient


@dataclass(slots=True)
class Findings:
    """Number of wrong records and partitions.

    Attributes:
        lost: missing outputs.
        repeated: outputs beyond the first of a record.
        rekeyed: outputs with another key than their input.
        scattered: outputs in another partition than earlier ones of the same customer.
        disordered: outputs behind a later one of the same customer.
        wrong: outputs with a wrong total.
        uncommitted: partitions of the source whose end the group has not committed.
    """

    lost: int = 0
    repeated: int = 0
    rekeyed: int = 0
    scattered: int = 0
    disordered: int = 0
    wrong: int = 0
    uncommitted: int = 0

    def __str__(self) -> str:
        """The faults in words; empty if there are none."""
        return ", ".join(f"{count:,} {name}" for name, count in asdict(self).items() if count)


def worst(found: Sequence[Findings]) -> Findings:
    """The largest number of each kind in any run."""
    runs = [asdict(one) for one in found]
    return Findings(**{name: max(run[name] for run in runs) for name in runs[0]})


class PurchaseCheck:
    """Compares outputs with the input: records, keys, order, values.

    Args:
        records: number of input records, numbered from zero.
    """

    def __init__(self, records: int) -> None:
        self._seen = bytearray(records)
        self._latest: dict[tuple[int, str], int] = {}
        self._homes: dict[str, int] = {}
        self._found = Findings()

    def see(self, partition: int, key: bytes | None, value: bytes) -> None:
        """Take the next output of a partition."""
        found = self._found
        purchase = orjson.loads(value)
        number, customer = purchase["purchase_id"], purchase["customer_id"]
        if self._seen[number]:
            found.repeated += 1
            return
        self._seen[number] = 1
        found.rekeyed += key != customer.encode()
        found.scattered += self._homes.setdefault(customer, partition) != partition
        found.wrong += purchase["total_cents"] != (
            purchase["quantity"] * purchase["unit_price_cents"]
        )
        latest = self._latest.get((partition, customer), -1)
        found.disordered += purchase["sequence"] < latest
        self._latest[partition, customer] = max(purchase["sequence"], latest)

    def findings(self) -> Findings:
        """The faults; call it at the end."""
        self._found.lost = len(self._seen) - sum(self._seen)
        return self._found


async def check_purchases(
    bootstrap_servers: str, topic: str, records: int, partitions: int
) -> Findings:
    """Read all outputs of a run and return what is wrong."""
    outputs = PurchaseCheck(records)
    async with _consumer(bootstrap_servers) as consumer:
        async for record in _read(consumer, topic, partitions):
            outputs.see(record.partition, record.key, record.value)
    return outputs.findings()


async def count_uncommitted(bootstrap_servers: str, group: str, topic: str, partitions: int) -> int:
    """Partitions of a topic whose end the group has not committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    async with _consumer(bootstrap_servers) as consumer:
        ends = await _ends(consumer, topic, partitions)
    return sum(
        end > 0 and (partition not in committed or committed[partition].offset != end)
        for partition, end in ends.items()
    )


async def count(bootstrap_servers: str, topics: Collection[str], partitions: int) -> int:
    """Records that topics hold, which were written without transactions and never compacted."""
    async with _consumer(bootstrap_servers) as consumer:
        ends = [await _ends(consumer, topic, partitions) for topic in topics]
    return sum(sum(by_partition.values()) for by_partition in ends)


@asynccontextmanager
async def _consumer(bootstrap_servers: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _ends(consumer: Any, topic: str, partitions: int) -> dict[TopicPartition, int]:
    names = [TopicPartition(topic, partition) for partition in range(partitions)]
    ends: dict[TopicPartition, int] = await consumer.end_offsets(names)
    return ends


async def _read(consumer: Any, topic: str, partitions: int) -> AsyncIterator[Any]:
    """All records of the topic."""
    ends = await _ends(consumer, topic, partitions)
    consumer.assign(list(ends))
    left = {partition for partition, end in ends.items() if end}
    while left:
        for partition, records in (await consumer.getmany(*left, timeout_ms=1000)).items():
            for record in records:
                yield record
            if records[-1].offset + 1 >= ends[partition]:
                left.discard(partition)
