"""Counts open dead letters, reading as little as possible: offsets, new entries, first letters.

A topic of letters may be large, so it is not read through. How many letters there are is told by
offsets, which of them are done by the ledger, of which only what is new is read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import aclosing

from streamapp.brokers.protocols import Admin, ReadingBroker, TopicDescription
from streamapp.clock import Clock
from streamapp.dead_letter_tools.letter_count import LetterCount
from streamapp.dead_letter_tools.reading import Reader, ends_of, reading
from streamapp.letters.ledger import ledger_topic_of
from streamapp.observability.open_letters import OpenLetters
from streamapp.record import TopicPartition

ANEW_SECONDS = 3600.0
"""A count is begun anew so often: a topic that was made anew and has grown is not seen otherwise.
"""

TOPICS_AT_ONCE = 100
PREFETCH_BYTES = 1024 * 1024


class LetterCounter:
    """Counts the open letters of dead-letter topics, again and again.

    Args:
        broker: reads letters and ledgers.
        admin: asks for offsets.
        clock: the time.
    """

    def __init__(self, broker: ReadingBroker, admin: Admin, clock: Clock) -> None:
        self._broker = broker
        self._admin = admin
        self._clock = clock
        self._counts: dict[str, LetterCount] = {}

    async def count(self, names: Collection[str]) -> Mapping[str, OpenLetters]:
        """The open letters of those of these topics that exist and can be counted.

        After an error it may be called again.

        Raises:
            BrokerError: the broker does not answer, or something cannot be read.
        """
        for gone in self._counts.keys() - set(names):
            del self._counts[gone]
        found: dict[str, OpenLetters] = {}
        ordered = sorted(names)
        for i in range(0, len(ordered), TOPICS_AT_ONCE):
            some = ordered[i : i + TOPICS_AT_ONCE]
            try:
                await self._count(some)
            except BaseException:
                for name in some:  # what was read in part is read again
                    self._counts.pop(name, None)
                raise
            now, wall = self._clock.monotonic(), self._clock.time()
            known = [self._counts[name] for name in some if name in self._counts]
            told = [count.open_letters(now, wall) for count in known]
            found |= {one.topic: one for one in told if one is not None}
        return found

    async def _count(self, names: Collection[str]) -> None:
        topics = await self._admin.describe_topics(names)
        for gone in set(names) - topics.keys():
            self._counts.pop(gone, None)
        ledgers = await self._admin.partition_counts([ledger_topic_of(name) for name in topics])
        ledger_ends = await ends_of(self._admin, ledgers)
        await self._bound(topics, ledger_ends)
        counts = [self._counts[name] for name in topics]
        entries = {
            place: end
            for count in counts
            for place, end in ledger_ends.items()
            if place.topic == ledger_topic_of(count.name) and end > count.ledger_read.get(place, 0)
        }
        needed = {*entries, *_all(count.unseen_firsts() for count in counts)}
        needed |= set(_all(count.unseen_oldest() for count in counts))
        # What is done now may have been the first open letter.
        changed = {place.topic for place in entries}
        needed |= set(_all(c.letters() for c in counts if ledger_topic_of(c.name) in changed))
        if needed:
            await self._read(counts, entries, needed)

    async def _bound(
        self, topics: Mapping[str, TopicDescription], ledger_ends: Mapping[TopicPartition, int]
    ) -> None:
        """Take note of where topics begin and end, and begin those anew that were made anew."""
        places = [TopicPartition(n, i) for n, one in topics.items() for i in range(one.partitions)]
        begins = await self._admin.beginning_offsets(places)
        ends = await self._admin.end_offsets(places)
        now = self._clock.monotonic()
        for name, topic in topics.items():
            own_begins = {p.partition: begins[p] for p in places if p.topic == name}
            own_ends = {p.partition: ends[p] for p in places if p.topic == name}
            known = self._counts.get(name)
            if (
                known is None
                or known.topic.partitions != topic.partitions
                or now - known.counted_since >= ANEW_SECONDS
                or known.is_of_an_earlier_topic(own_begins, own_ends)
                or any(ledger_ends.get(p, 0) < read for p, read in known.ledger_read.items())
            ):
                known = self._counts[name] = LetterCount(topic, now)
            known.topic = topic
            for number in range(topic.partitions):
                known.bound(number, own_begins[number], max(own_begins[number], own_ends[number]))

    async def _read(
        self,
        counts: Collection[LetterCount],
        entries: Mapping[TopicPartition, int],
        needed: Collection[TopicPartition],
    ) -> None:
        by_topic = {count.name: count for count in counts}
        by_ledger = {ledger_topic_of(count.name): count for count in counts}
        async with reading(self._broker, needed, max_prefetch_bytes=PREFETCH_BYTES) as reader:
            firsts = _merged(count.unseen_firsts() for count in counts)
            found = await reader.first_records(_ends(firsts, by_topic), firsts)
            for place, at in firsts.items():
                by_topic[place.topic].take_first(place, at, found.get(place))
            await _read_entries(reader, entries, by_ledger)
            oldest = _merged(count.unseen_oldest() for count in counts)
            found = await reader.first_records(_ends(oldest, by_topic), oldest)
            for place, at in oldest.items():
                by_topic[place.topic].take_oldest(place, at, found.get(place))


async def _read_entries(
    reader: Reader,
    ends: Mapping[TopicPartition, int],
    by_ledger: Mapping[str, LetterCount],
) -> None:
    starts = {place: by_ledger[place.topic].ledger_read.get(place, 0) for place in ends}
    async with aclosing(reader.records(ends, starts)) as records:
        async for place, record in records:
            by_ledger[place.topic].take_entry(record)
    for place, end in ends.items():
        by_ledger[place.topic].ledger_read[place] = end


def _ends(
    places: Iterable[TopicPartition], counts: Mapping[str, LetterCount]
) -> dict[TopicPartition, int]:
    return {place: counts[place.topic].partitions[place.partition].end for place in places}


def _all(found: Iterable[Mapping[TopicPartition, int]]) -> Iterator[TopicPartition]:
    for one in found:
        yield from one


def _merged(found: Iterable[Mapping[TopicPartition, int]]) -> dict[TopicPartition, int]:
    return {place: at for one in found for place, at in one.items()}
