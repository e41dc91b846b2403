"""Fill source topics, the same records every time."""

import random
from collections.abc import Iterable, Iterator
from itertools import cycle, islice

import orjson
from aiokafka import AIOKafkaProducer

from benchmarks.measure import MAX_BATCH_BYTES, PARTITIONS
from streamapp.brokers.partitioner import partition_for
from streamapp.examples.playback.generator import PlaybackGenerator

KEYS = 5_000
_DISTINCT = 20_000
_START_MS = 1_760_000_000_000
_WORDS = ("left", "at", "the", "door", "please", "ring", "twice", "mind", "dog", "thanks")


def purchases(
    records: int, *, keys: int = KEYS, hot_every: int = 0
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of `records` purchases, each value about 220 bytes.

    Where `hot_every` is not zero, one in so many is of the first customer.
    """
    rng = random.Random(1)
    sequences = [0] * keys
    for number in range(records):
        customer = rng.randrange(keys)
        if hot_every and number % hot_every == 0:
            customer = 0
        customer_id = f"customer-{customer:05d}"
        purchase = {
            "purchase_id": number,
            "customer_id": customer_id,
            "sequence": sequences[customer],
            "bought_at_ms": _START_MS + number,
            "product_id": f"sku-{rng.randrange(10_000):05d}",
            "country": rng.choice(("DE", "FR", "BR", "JP")),
            "currency": rng.choice(("EUR", "BRL", "JPY")),
            "quantity": rng.randint(1, 9),
            "unit_price_cents": rng.randint(99, 19_999),
            "comment": " ".join(rng.choices(_WORDS, k=4)),
        }
        sequences[customer] += 1
        yield customer_id.encode(), orjson.dumps(purchase)


def purchases_again_and_again(records: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of many purchases in no time: the same 20,000 over and over."""
    return islice(cycle([*purchases(min(records, _DISTINCT))]), records)


def playback_events(records: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the playback example's events, faulty ones included."""
    for key, value, _, _, _ in PlaybackGenerator(seed=1).take(records, _START_MS):
        yield key, value


async def fill(
    bootstrap_servers: str,
    topic: str,
    records: Iterable[tuple[bytes, bytes]],
    partitions: int = PARTITIONS,
) -> None:
    """Write the records, by key."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_BATCH_BYTES,
    )
    await producer.start()
    try:
        open_batches = [producer.create_batch() for _ in range(partitions)]
        for key, value in records:
            partition = partition_for(key, partitions)
            if open_batches[partition].append(timestamp=None, key=key, value=value) is None:
                await producer.send_batch(open_batches[partition], topic, partition=partition)
                open_batches[partition] = producer.create_batch()
                open_batches[partition].append(timestamp=None, key=key, value=value)
        for partition, batch in enumerate(open_batches):
            if batch.record_count():
                await producer.send_batch(batch, topic, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
