"""Reads topics once, from where they begin to where they end now."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

from streamapp.brokers.protocols import Admin, Broker, Consumer, ConsumerConfig
from streamapp.errors import BrokerError, OffsetOutOfRangeError, TopicError
from streamapp.letters.dialects import read_letter
from streamapp.letters.ledger import Ledger, ledger_topic_of
from streamapp.letters.letter import Letter
from streamapp.record import Record, TopicPartition

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.5
_JOIN_SECONDS = 60.0
_STOP_SECONDS = 10.0
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
    async with reading(broker, left) as reader, aclosing(reader.records(left, starts)) as records:
        async for found in records:
            yield found


class Reader:
    """Reads partitions that are assigned to it.

    Args:
        consumer: has the partitions.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def records(
        self,
        ends: Mapping[TopicPartition, int],
        starts: Mapping[TopicPartition, int] | None = None,
    ) -> AsyncGenerator[tuple[TopicPartition, Record], None]:
        """The records of these partitions below these offsets, as `read_records`."""
        left = dict(ends)
        for place in left:
            if starts is not None and place in starts:
                self._consumer.seek(place, starts[place])
        while left:
            for place, record in await _fetched(self._consumer, left, _FETCH_RECORDS):
                yield place, record
            await self._drop_ended(left)

    async def first_records(
        self, ends: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, Record]:
        """The first record of each of these partitions at or behind a start, and below an end."""
        left = dict(ends)
        found: dict[TopicPartition, Record] = {}
        for place in left:
            self._consumer.seek(place, starts[place])
        while left:
            for place, record in await _fetched(self._consumer, left, 1):
                found[place] = record
                del left[place]
            await self._drop_ended(left)
        return found

    async def _drop_ended(self, left: dict[TopicPartition, int]) -> None:
        for place, end in list(left.items()):
            if await self._consumer.position(place) >= end:
                del left[place]


@asynccontextmanager
async def reading(
    broker: Broker,
    places: Collection[TopicPartition],
    *,
    max_prefetch_bytes: int = 8 * 1024 * 1024,
) -> AsyncIterator[Reader]:
    """Read these partitions inside the block, as the only member of a group that commits nothing.

    Args:
        broker: has them.
        places: the partitions.
        max_prefetch_bytes: most bytes that are fetched before they are asked for.

    Raises:
        BrokerError: they cannot be read.
    """
    config = ConsumerConfig(
        group=f"{GROUP_PREFIX}{uuid.uuid4().hex}",
        topics=tuple(sorted({place.topic for place in places})),
        max_prefetch_bytes=max_prefetch_bytes,
    )
    consumer = broker.consumer(config, _Listener())
    await consumer.start()
    try:
        await _assigned(consumer, places)
        yield Reader(consumer)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await consumer.stop()


async def _fetched(
    consumer: Consumer, ends: Mapping[TopicPartition, int], most: int
) -> list[tuple[TopicPartition, Record]]:
    try:
        fetched = await consumer.fetch(list(ends), max_records=most, timeout_seconds=_FETCH_SECONDS)
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
