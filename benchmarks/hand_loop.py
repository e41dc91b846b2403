"""The yardstick: the fastest loop on aiokafka that a good engineer writes by hand.

Fetch a batch, validate, call the agent, encode, append to one batch for each output partition,
send, await every acknowledgement, commit. It has no error policy, no dead letters, no metrics, no
order beyond one record after the other, and it stops working while it waits for acknowledgements.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from benchmarks import agents, struct_agents
from benchmarks.measure import (
    BATCH_RECORDS,
    FETCH_MAX_WAIT_MS,
    MAX_BATCH_BYTES,
    MAX_FETCH_BYTES,
    MAX_PARTITION_FETCH_BYTES,
    Job,
    Meter,
    main,
)
from streamapp.brokers.partitioner import partition_for


class OutputBatches:
    """One open batch for each output partition."""

    def __init__(self, producer: Any, topic: str, partitions: int) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._cache: dict[bytes, int] = {}
        self._full: list[tuple[int, Any]] = []
        self._open: list[Any] = [None] * partitions

    def append(self, key: bytes, value: bytes, timestamp: int) -> None:
        """Append to the batch of the key's partition."""
        partition = self._cache.get(key)
        if partition is None:
            partition = self._cache[key] = partition_for(key, self._partitions)
        batch = self._open[partition]
        if batch is None:
            batch = self._open[partition] = self._producer.create_batch()
        if batch.append(timestamp=timestamp, key=key, value=value) is None:
            self._full.append((partition, batch))
            batch = self._open[partition] = self._producer.create_batch()
            batch.append(timestamp=timestamp, key=key, value=value)

    async def send(self) -> None:
        """Send everything and await the acknowledgements."""
        batches = self._full + [
            (partition, batch) for partition, batch in enumerate(self._open) if batch is not None
        ]
        self._full, self._open = [], [None] * self._partitions
        acknowledgements = [
            await self._producer.send_batch(batch, self._topic, partition=partition)
            for partition, batch in batches
        ]
        await asyncio.gather(*acknowledgements)


class Timer(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped base
    """Begins to measure with the first assignment."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def on_partitions_revoked(self, _revoked: set[TopicPartition]) -> None:
        """Nothing is in flight: the run is over."""

    async def on_partitions_assigned(self, _assigned: set[TopicPartition]) -> None:
        """Begin."""
        self._meter.assigned()


async def run(job: Job, meter: Meter) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=job.bootstrap_servers,
        group_id=job.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        fetch_max_bytes=MAX_FETCH_BYTES,
        max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_BATCH_BYTES,
    )
    consumer.subscribe([job.source], listener=Timer(meter))
    await producer.start()
    await consumer.start()
    try:
        partitions = len(await producer.partitions_for(job.output))
        outputs = OutputBatches(producer, job.output, partitions)
        done = 0
        handle = HANDLERS[job.mode]
        while done < job.records:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=BATCH_RECORDS)
            await handle(fetched, outputs)
            await outputs.send()
            if fetched:
                await consumer.commit(
                    {tp: records[-1].offset + 1 for tp, records in fetched.items()}
                )
                meter.committed()
            done += sum(map(len, fetched.values()))
    finally:
        await consumer.stop()
        await producer.stop()


# One loop for each agent, so that none pays for the others.
async def handle_sync(fetched: Any, outputs: OutputBatches) -> None:
    for records in fetched.values():
        for record in records:
            priced = agents.price(agents.validate(record.value))
            outputs.append(record.key, agents.encode(priced), record.timestamp)


async def handle_plain(fetched: Any, outputs: OutputBatches) -> None:
    """What streamapp finds safe by itself: a model of plain fields is written as its fields."""
    for records in fetched.values():
        for record in records:
            priced = agents.price(agents.validate(record.value))
            outputs.append(record.key, orjson.dumps(priced.__dict__), record.timestamp)


async def handle_async(fetched: Any, outputs: OutputBatches) -> None:
    for records in fetched.values():
        for record in records:
            priced = await agents.price_async(agents.validate(record.value))
            outputs.append(record.key, agents.encode(priced), record.timestamp)


async def handle_dict(fetched: Any, outputs: OutputBatches) -> None:
    for records in fetched.values():
        for record in records:
            priced = agents.price_dict(orjson.loads(record.value))
            outputs.append(record.key, orjson.dumps(priced), record.timestamp)


async def handle_dict_exact(fetched: Any, outputs: OutputBatches) -> None:
    """The same with integers of any size, which orjson reads as floats beyond 64 bits."""
    for records in fetched.values():
        for record in records:
            priced = agents.price_dict(agents.read_dict(record.value))
            outputs.append(record.key, orjson.dumps(priced), record.timestamp)


async def handle_msgspec(fetched: Any, outputs: OutputBatches) -> None:
    for records in fetched.values():
        for record in records:
            priced = struct_agents.price_struct(struct_agents.validate_struct(record.value))
            outputs.append(record.key, struct_agents.encode_struct(priced), record.timestamp)


async def handle_pass_on(fetched: Any, outputs: OutputBatches) -> None:
    for records in fetched.values():
        for record in records:
            priced = agents.pass_on(agents.validate_priced(record.value))
            outputs.append(record.key, agents.encode(priced), record.timestamp)


HANDLERS: dict[str, Callable[[Any, OutputBatches], Awaitable[None]]] = {
    "sync": handle_sync,
    "plain": handle_plain,
    "async": handle_async,
    "dict": handle_dict,
    "dict_exact": handle_dict_exact,
    "msgspec": handle_msgspec,
    "pass_on": handle_pass_on,
}

if __name__ == "__main__":
    main(run)
