"""Reads topics once, from where they begin to where they end now."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

from streamapp.brokers.protocols import Admin, PartitionReader, ReadingBroker
from streamapp.errors import (
    BrokerError,
    OffsetOutOfRangeError,
    TopicError,
    UnreadableRecordError,
)
from streamapp.letters.dialects import read_letter
from streamapp.letters.ledger import Ledger, ledger_topic_of
from streamapp.letters.letter import Letter
from streamapp.record import Record, TopicPartition

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.5
_STOP_SECONDS = 10.0

MOST_IDLE_FETCHES = 60
"""So many fetches in a row may bring nothing, each of which waits for half a second on Kafka."""

OnUnreadable = Callable[[UnreadableRecordError], None]
"""Told of a record that cannot be parsed, which is left out then."""


async def read_letters(
    broker: ReadingBroker,
    ends: Mapping[TopicPartition, int],
    *,
    on_unreadable: OnUnreadable | None = None,
) -> AsyncGenerator[Letter, None]:
    """The dead letters of a topic below these offsets; those of a partition in their order.

    Who does not read to the end has to close it, as `contextlib.aclosing` does.

    Args:
        broker: has them.
        ends: the offsets.
        on_unreadable: told of each record that cannot be parsed; by default such a record is an
            error.

    Raises:
        UnreadableRecordError: a record cannot be parsed.
        BrokerError: the topic cannot be read.
    """
    async with aclosing(read_records(broker, ends, on_unreadable=on_unreadable)) as records:
        async for place, record in records:
            yield read_letter(place, record)


async def read_ledger(broker: ReadingBroker, admin: Admin, topic: str) -> Ledger:
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
    broker: ReadingBroker,
    ends: Mapping[TopicPartition, int],
    *,
    starts: Mapping[TopicPartition, int] | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> AsyncGenerator[tuple[TopicPartition, Record], None]:
    """The records of these partitions below these offsets; to be closed like `read_letters`.

    Args:
        broker: has them.
        ends: the offsets.
        starts: where to begin; by default at the beginning.
        on_unreadable: as for `read_letters`.

    Raises:
        UnreadableRecordError: a record cannot be parsed.
        BrokerError: they cannot be read.
    """
    left = {place: end for place, end in ends.items() if end > (starts or {}).get(place, 0)}
    if not left:
        return
    async with reading(broker, left) as reader:
        reader.on_unreadable = on_unreadable
        async with aclosing(reader.records(left, starts)) as records:
            async for found in records:
                yield found


class Reader:
    """Reads partitions to where they end.

    Args:
        reader: reads the partitions.

    Attributes:
        on_unreadable: as for `read_letters`.
    """

    def __init__(self, reader: PartitionReader) -> None:
        self._reader = reader
        self._idle_fetches = 0
        self._positions: dict[TopicPartition, int] = {}
        self.on_unreadable: OnUnreadable | None = None

    async def records(
        self,
        ends: Mapping[TopicPartition, int],
        starts: Mapping[TopicPartition, int] | None = None,
    ) -> AsyncGenerator[tuple[TopicPartition, Record], None]:
        """The records of these partitions below these offsets, as `read_records`."""
        left = dict(ends)
        for place in left:
            if starts is not None and place in starts:
                self._reader.seek(place, starts[place])
        while left:
            for place, record in await self._fetched(left, _FETCH_RECORDS):
                yield place, record
            await self._drop_ended(left)

    async def first_records(
        self, ends: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, Record]:
        """The first record of each of these partitions at or behind a start, and below an end."""
        left = dict(ends)
        found: dict[TopicPartition, Record] = {}
        for place in left:
            self._reader.seek(place, starts[place])
        while left:
            for place, record in await self._fetched(left, 1):
                found[place] = record
                del left[place]
            await self._drop_ended(left)
        return found

    async def _fetched(
        self, ends: Mapping[TopicPartition, int], most: int
    ) -> list[tuple[TopicPartition, Record]]:
        self._idle_fetches += 1  # until something is seen to move
        try:
            fetched = await self._reader.fetch(
                list(ends), max_records=most, timeout_seconds=_FETCH_SECONDS
            )
        except OffsetOutOfRangeError as error:  # retention has deleted what was to be read next
            starts = await self._reader.beginning_offsets(error.offsets.keys())
            for place, offset in starts.items():
                self._reader.seek(place, offset)
            return []
        except UnreadableRecordError as error:
            if self.on_unreadable is None:
                raise
            self._reader.seek(error.partition, error.offset + 1)
            if error.offset < ends[error.partition]:
                self.on_unreadable(error)
            return []
        return [
            (TopicPartition(*place), record)
            for place, records in fetched.items()
            for record in records
            if record.offset < ends[TopicPartition(*place)]
        ]

    async def _drop_ended(self, left: dict[TopicPartition, int]) -> None:
        """Drop what was read to its end.

        Raises:
            BrokerError: what is left has not moved for too long.
        """
        for place, end in list(left.items()):
            position = await self._reader.position(place)
            if position != self._positions.get(place):
                self._positions[place] = position
                self._idle_fetches = 0
            if position >= end:
                del left[place]
        if left and self._idle_fetches >= MOST_IDLE_FETCHES:
            raise BrokerError(_nothing_comes(left, self._positions))


def _nothing_comes(
    left: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int]
) -> str:
    place, end = next(iter(left.items()))
    others = f" and {len(left) - 1} other partitions" if len(left) > 1 else ""
    return (
        f"topic {place.topic!r} partition {place.partition}{others} cannot be read: it ends at"
        f" {end}, but from offset {positions[place]} on nothing came for"
        f" {MOST_IDLE_FETCHES * _FETCH_SECONDS:.0f} s; see whether the partition has a leader and"
        " the topic still exists, with `streamapp doctor`, and call again"
    )


@asynccontextmanager
async def reading(
    broker: ReadingBroker,
    places: Collection[TopicPartition],
    *,
    max_prefetch_bytes: int = 8 * 1024 * 1024,
) -> AsyncIterator[Reader]:
    """Read these partitions from their beginnings on inside the block, without a group.

    Args:
        broker: has them.
        places: the partitions.
        max_prefetch_bytes: most bytes that are fetched before they are asked for.

    Raises:
        BrokerError: they cannot be read.
    """
    reader = broker.partition_reader(max_prefetch_bytes)
    await reader.start(dict.fromkeys(places, 0))
    try:
        yield Reader(reader)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await reader.stop()
