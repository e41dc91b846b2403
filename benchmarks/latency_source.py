"""An upstream service: records at a steady pace, in small batches, each with its due time.

A process of its own: `python -m benchmarks.latency_source '<pace as JSON>'`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks import load
from benchmarks.measure import MAX_BATCH_BYTES, PARTITIONS
from streamapp.brokers.partitioner import partition_for

TICK_SECONDS = 0.005
DISTINCT_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class Pace:
    """What to send.

    Attributes:
        bootstrap_servers: address of the broker.
        topic: where to write.
        records_per_second: on average over each tick.
        begin: time of the first record, in seconds of the epoch.
        seconds: how long.
    """

    bootstrap_servers: str
    topic: str
    records_per_second: int
    begin: float
    seconds: float


async def send_tick(
    producer: Any, topic: str, records: Iterator[tuple[int, bytes, bytes]], due_ms: list[int]
) -> "list[asyncio.Future[object]]":
    """Send one record for each due time: a batch for each partition; their acknowledgements."""
    batches: dict[int, Any] = {}
    for timestamp in due_ms:
        partition, key, value = next(records)
        if partition not in batches:
            batches[partition] = producer.create_batch()
        if batches[partition].append(timestamp=timestamp, key=key, value=value) is None:
            raise RuntimeError("the source fell too far behind its pace: a batch is full")
    return [
        await producer.send_batch(batch, topic, partition=partition)
        for partition, batch in batches.items()
    ]


async def send(pace: Pace) -> None:
    records = cycle(
        [
            (partition_for(key, PARTITIONS), key, value)
            for key, value in load.purchases(DISTINCT_RECORDS)
        ]
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=pace.bootstrap_servers, acks="all", max_batch_size=MAX_BATCH_BYTES
    )
    await producer.start()
    try:
        sending: list[asyncio.Future[object]] = []
        sent, wanted = 0, int(pace.records_per_second * pace.seconds)
        while sent < wanted:
            now = time.time()
            due = min(wanted, int((now - pace.begin) * pace.records_per_second))
            if due <= sent:
                await asyncio.sleep(TICK_SECONDS)
                continue
            due_ms = [
                int((pace.begin + number / pace.records_per_second) * 1000)
                for number in range(sent, due)
            ]
            sending += await send_tick(producer, pace.topic, records, due_ms)
            sent = due
            await asyncio.sleep(TICK_SECONDS - (time.time() - now))
        await asyncio.gather(*sending)
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(send(Pace(**json.loads(sys.argv[1]))))
