"""Looks for records in topics, from a time on and within bounds."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from streamapp.brokers.protocols import Admin, PartitionReader, ReadingBroker, TopicDescription
from streamapp.clock import Clock
from streamapp.errors import OffsetOutOfRangeError, UnreadableRecordError
from streamapp.record import Record, TopicPartition
from streamapp.record_way.found import Found

MOST_KEPT = 1000
"""So many records of a topic are kept that are like it, and as many others that have its time.

How many more there are is counted.
"""

APPEND_MARGIN_MS = 60_000
"""Where the broker dates records, its clock may be behind that of others by so much."""

_FETCH_RECORDS = 2000
_FETCH_SECONDS = 0.5


class Likeness(IntEnum):
    """How much a record is like the one that is followed."""

    NONE = 0  # it is not wanted
    TIME = 1  # it has nothing but the time of it
    LIKE = 2  # it has its key or its headers, or says itself what it is of


Fits = Callable[[Found], Likeness]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read at most.

    Attributes:
        max_records: so many records.
        max_seconds: for so long.
    """

    max_records: int = 10_000_000
    max_seconds: float = 60.0


@dataclass(slots=True)
class Gathered:
    """What was found.

    Attributes:
        found: the records by topic.
        more: how many others would have fitted, by topic.
        unread: offsets that were not looked at because of the bounds, by topic.
        trimmed: topics that have deleted records which may have been it.
        broken: places of records that could not be parsed; what stands behind was not read.
    """

    found: dict[str, list[Found]] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    trimmed: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    _kept: Counter[tuple[str, Likeness]] = field(default_factory=Counter)

    def of(self, topic: str) -> Sequence[Found]:
        """The records of a topic."""
        return self.found.get(topic, ())

    def keep(self, found: Found, likeness: Likeness) -> None:
        """Add a record; those that are like it do not give way to others."""
        topic = found.place.topic
        kept = self._kept[topic, likeness]
        if kept < MOST_KEPT:
            self._kept[topic, likeness] = kept + 1
            self.found.setdefault(topic, []).append(found)
        else:
            self.more[topic] = self.more.get(topic, 0) + 1

    def add_bounds(self, other: "Gathered") -> None:
        """Add what another search has left out."""
        for topic, count in other.unread.items():
            self.unread[topic] = self.unread.get(topic, 0) + count
        self.broken += other.broken


class Search:
    """Reads topics; all that it reads counts for the same bounds.

    Args:
        broker: has the topics.
        admin: asks for offsets.
        clock: measures time.
        bounds: how much is read.
        on_read: told how many more records were read, and how many are to be read in all.
    """

    def __init__(
        self,
        broker: ReadingBroker,
        admin: Admin,
        clock: Clock,
        bounds: Bounds,
        on_read: Callable[[int, int], None] = lambda _count, _total: None,
    ) -> None:
        self._broker = broker
        self._admin = admin
        self._clock = clock
        self._on_read = on_read
        self._left = bounds.max_records
        self._deadline = clock.monotonic() + bounds.max_seconds
        self._total = 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.time()

    async def record_at(self, place: TopicPartition, offset: int) -> Record | None:
        """The record at this offset; `None` if there is none, or it was deleted."""
        async with self._reading({place: offset}) as reader:
            while (
                await reader.position(place) <= offset and self._clock.monotonic() < self._deadline
            ):
                try:
                    fetched = await reader.fetch(
                        [place], max_records=1, timeout_seconds=_FETCH_SECONDS
                    )
                except OffsetOutOfRangeError:
                    return None
                for record in fetched.get(place, ()):
                    return record if record.offset == offset else None
        return None

    async def gather(self, topics: Mapping[str, Fits], since_ms: int | None) -> Gathered:
        """Look for records in existing topics.

        Args:
            topics: the topics, and which of their records are wanted.
            since_ms: when the record of which they were made was, in milliseconds since the epoch;
                `None` reads from the beginning.

        Raises:
            BrokerError: they cannot be read.
        """
        gathered = Gathered()
        described = await self._admin.describe_topics(list(topics))
        starts, ends = await self._ranges(described, since_ms, gathered)
        left = {place: end for place, end in ends.items() if starts[place] < end}
        self._total += sum(end - starts[place] for place, end in left.items())
        self._on_read(0, self._total)
        async with self._reading({place: starts[place] for place in left}) as reader:
            while left and self._left > 0 and self._clock.monotonic() < self._deadline:
                await self._step(reader, left, topics, gathered)
            for place, end in left.items():
                rest = end - await reader.position(place)
                gathered.unread[place.topic] = gathered.unread.get(place.topic, 0) + rest
        return gathered

    async def _step(
        self,
        reader: PartitionReader,
        left: dict[TopicPartition, int],
        topics: Mapping[str, Fits],
        gathered: Gathered,
    ) -> None:
        """Read some records, and drop the partitions that are read."""
        most = min(_FETCH_RECORDS, self._left)
        try:
            fetched = await reader.fetch(
                list(left), max_records=most, timeout_seconds=_FETCH_SECONDS
            )
        except UnreadableRecordError as error:
            gathered.broken.append(f"{error.partition.topic}:{error.partition.partition}")
            del left[TopicPartition(*error.partition)]
            return
        except OffsetOutOfRangeError as error:  # deleted since the search began
            for place, offset in (await self._admin.beginning_offsets(error.offsets)).items():
                reader.seek(place, offset)
                gathered.trimmed.add(place.topic)
            return
        count = sum(map(len, fetched.values()))
        self._left -= count
        self._on_read(count, self._total)
        for place, records in fetched.items():
            fits = topics[place.topic]
            for record in records:
                if record.offset >= left[place]:
                    break
                if likeness := fits(found := Found(place, record)):
                    gathered.keep(found, likeness)
        for place, end in list(left.items()):
            if await reader.position(place) >= end:
                del left[place]

    async def _ranges(
        self,
        described: Mapping[str, TopicDescription],
        since_ms: int | None,
        gathered: Gathered,
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Where reading begins and ends in each partition."""
        starts: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        for name, topic in described.items():
            places = [TopicPartition(name, number) for number in range(topic.partitions)]
            begins = await self._admin.beginning_offsets(places)
            from_ms = _since(topic, since_ms)
            own = begins if from_ms is None else await self._admin.offsets_from(places, from_ms)
            if any(begins[place] and own[place] == begins[place] for place in places):
                gathered.trimmed.add(name)
            starts |= own
            ends |= await self._admin.end_offsets(places)
        return starts, ends

    @asynccontextmanager
    async def _reading(
        self, starts: Mapping[TopicPartition, int]
    ) -> AsyncIterator[PartitionReader]:
        reader = self._broker.partition_reader()
        await reader.start(starts)
        try:
            yield reader
        finally:
            await reader.stop()


def _since(topic: TopicDescription, since_ms: int | None) -> int | None:
    if since_ms is None:
        return None
    is_dated = topic.config.get("message.timestamp.type") == "LogAppendTime"
    return max(0, since_ms - APPEND_MARGIN_MS if is_dated else since_ms)
