"""Reads topics once, from where they begin to where they end now."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing

from streamapp.brokers.protocols import Admin, Broker, Consumer, ConsumerConfig
from streamapp.errors import BrokerError, OffsetOutOfRangeError, TopicError
from streamapp.letters.dialects import read_letter
from streamapp.letters.ledger import Ledger, ledger_topic_of
from streamapp.letters.letter import Letter
from streamapp.record import Record, TopicPartition

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.5
_JOIN_SECONDS = 60.0
GROUP_PREFIX = "streamapp.dlq."
"""Begins the names of the groups of these readers, which commit nothing and are gone afterwards."""


async def read_letters(
    broker: Broker, ends: Mapping[TopicPartition, int]
) -> AsyncGenerator[Letter, None]:
    """The dead letters of a topic below these offsets; those of a partition in their order.

    Who does not read to the end has to close it, as `contextlib.aclosing` does.

    Raises:
        BrokerError: the topic cannot be read.
    """
    async with aclosing(read_records(broker, ends)) as records:
        async for place, record in records:
            yield read_letter(place, record)


async def read_ledger(broker: Broker, admin: Admin, topic: str) -> Ledger:
    """What was done with the letters of a dead-letter topic; nothing if it has no ledger yet.

    Raises:
        BrokerError: the ledger cannot be read.
    """
    ledger, name = Ledger(), ledger_topic_of(topic)
    counts = await admin.partition_counts([name])
    if counts:
        async with aclosing(read_records(broker, await ends_of(admin, counts))) as records:
            async for _, record in records:
                ledger.take(record.key, record.value)
    return ledger


async def ends_of(admin: Admin, partitions: Mapping[str, int]) -> dict[TopicPartition, int]:
    """Where topics with so many partitions end now."""
    places = [TopicPartition(name, i) for name, count in partitions.items() for i in range(count)]
    return dict(await admin.end_offsets(places))


async def ends_of_letters(admin: Admin, topic: str) -> dict[TopicPartition, int]:
    """Where a dead-letter topic ends now.

    Raises:
        TopicError: there is no such topic.
    """
    counts = await admin.partition_counts([topic])
    if not counts:
        raise TopicError(
            f"there is no topic {topic!r}; `streamapp topics list` shows those that there are"
        )
    return await ends_of(admin, counts)


async def read_records(
    broker: Broker,
    ends: Mapping[TopicPartition, int],
    *,
    starts: Mapping[TopicPartition, int] | None = None,
) -> AsyncGenerator[tuple[TopicPartition, Record], None]:
    """The records of these partitions below these offsets; to be closed like `read_letters`.

    Args:
        broker: has them.
        ends: the offsets.
        starts: where to begin; by default at the beginning.

    Raises:
        BrokerError: they cannot be read.
    """
    left = {place: end for place, end in ends.items() if end > (starts or {}).get(place, 0)}
    if not left:
        return
    topics = tuple(sorted({place.topic for place in left}))
    config = ConsumerConfig(group=f"{GROUP_PREFIX}{uuid.uuid4().hex}", topics=topics)
    consumer = broker.consumer(config, _Listener())
    await consumer.start()
    try:
        await _assigned(consumer, left)
        for place in left:
            if starts is not None and place in starts:
                consumer.seek(place, starts[place])
        while left:
            for place, record in await _fetched(consumer, left):
                yield place, record
            for place, end in list(left.items()):
                if await consumer.position(place) >= end:
                    del left[place]
    finally:
        await consumer.stop()


async def _fetched(
    consumer: Consumer, ends: Mapping[TopicPartition, int]
) -> list[tuple[TopicPartition, Record]]:
    try:
        fetched = await consumer.fetch(
            list(ends), max_records=_FETCH_RECORDS, timeout_seconds=_FETCH_SECONDS
        )
    except OffsetOutOfRangeError as error:  # retention has deleted what was to be read next
        starts = await consumer.beginning_offsets(error.offsets.keys())
        for place, offset in starts.items():
            consumer.seek(place, offset)
        return []
    return [
        (TopicPartition(*place), record)
        for place, records in fetched.items()
        for record in records
        if record.offset < ends[TopicPartition(*place)]
    ]


async def _assigned(consumer: Consumer, places: Collection[TopicPartition]) -> None:
    """Wait until the consumer, which is alone in its group, has the partitions.

    Raises:
        BrokerError: it takes too long.
    """
    try:
        async with asyncio.timeout(_JOIN_SECONDS):
            while not set(places) <= consumer.assignment():
                await consumer.fetch((), max_records=1, timeout_seconds=0.05)
    except TimeoutError:
        topics = ", ".join(sorted({place.topic for place in places}))
        raise BrokerError(
            f"{topics} could not be read: Kafka has assigned no partitions within"
            f" {_JOIN_SECONDS:g} s; the user needs the ACL to read groups {GROUP_PREFIX}*"
        ) from None


class _Listener:
    """Ignores rebalances: the reader is alone in its group."""

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None: ...
