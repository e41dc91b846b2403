"""Reads from Kafka how far the groups of declared stages are behind."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from streamapp.brokers.protocols import Admin, CommittedOffset, ReadingBroker, TopicDescription
from streamapp.clock import Clock
from streamapp.dead_letter_tools.reading import reading
from streamapp.errors import StreamappError
from streamapp.exporter.snapshot import PartitionLag, Snapshot, StageName
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition
from streamapp.runtime.end_history import EndHistory

log = logging.getLogger(__name__)

FIRST_RECORDS_SECONDS = 15.0
"""Longest time in which the first unread records are read; else their age is not known."""

PREFETCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Log:
    """The bounds of a partition, and where its group goes on."""

    begin: int
    end: int
    position: int


_Logs: TypeAlias = Mapping[tuple[int, TopicPartition], _Log]
"""The partitions of segments, by the number of the segment."""


class GroupReader:
    """Reads how far stages are behind, again and again.

    When records came is known of those that came since the first look; of earlier ones the first is
    read, once for each offset that a group stands at.

    Args:
        broker: reads first unread records.
        admin: asks for groups, topics and offsets.
        clock: the time.
        segments: what the stages are.
    """

    def __init__(
        self, broker: ReadingBroker, admin: Admin, clock: Clock, segments: Sequence[Segment]
    ) -> None:
        self._broker = broker
        self._admin = admin
        self._clock = clock
        self._segments = segments
        self._histories: dict[TopicPartition, EndHistory] = {}
        self._first_at: dict[tuple[str, TopicPartition], tuple[int, float | None]] = {}
        self._unread_since: dict[StageName, float] = {}

    async def look(self) -> Snapshot:
        """What Kafka says now.

        Raises:
            BrokerError: it does not answer.
        """
        topics = await self._topics()
        groups = dict.fromkeys(segment.group for segment in self._segments)
        offsets = {group: await self._admin.committed_offsets(group) for group in groups}
        members = {group: await self._admin.member_count(group) for group in groups}
        places = [TopicPartition(n, i) for n, one in topics.items() for i in range(one.partitions)]
        begins = await self._admin.beginning_offsets(places)
        ends = await self._admin.end_offsets(places)
        now = self._clock.monotonic()
        self._note_ends(ends, now)
        logs = dict(self._logs(topics, offsets, begins, ends))
        await self._read_firsts(logs, now)
        lags = tuple(self._lags(logs, topics))
        by_stage = {_name(segment): members[segment.group] for segment in self._segments}
        found = Snapshot(now, lags, by_stage)
        return Snapshot(now, lags, by_stage, self._note_unread(found))

    async def _topics(self) -> Mapping[str, TopicDescription]:
        """What the topics that the stages read are like; those that do not exist are left out."""
        existing: Collection[str] = ()
        if any(segment.patterns for segment in self._segments):
            existing = await self._admin.list_topics()
        names = {name for segment in self._segments for name in segment.topics_among(existing)}
        names |= {name for segment in self._segments for name in segment.replay_topics}
        return await self._admin.describe_topics(sorted(names))

    def _note_ends(self, ends: Mapping[TopicPartition, int], now: float) -> None:
        for gone in self._histories.keys() - ends.keys():
            del self._histories[gone]
        for place, end in ends.items():
            self._histories.setdefault(place, EndHistory()).note(now, end)

    def _logs(
        self,
        topics: Collection[str],
        offsets: Mapping[str, Mapping[TopicPartition, CommittedOffset]],
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> Iterator[tuple[tuple[int, TopicPartition], _Log]]:
        """The partitions of each segment, by its number.

        One whose log ends before the committed offset was made anew, so its lag is not known.
        """
        for number, segment in enumerate(self._segments):
            own = set(segment.topics_among(topics))
            for place, end in ends.items():
                if place.topic in own:
                    kept = offsets[segment.group].get(place)
                    position = begins[place] if kept is None else kept.offset
                    if position <= end:
                        found = _Log(begins[place], end, max(begins[place], position))
                        yield (number, place), found

    def _unseen_firsts(self, logs: _Logs) -> Mapping[TopicPartition, tuple[int, int]]:
        """Where first unread records stand, and their logs end, that nobody has seen come."""
        asked: dict[TopicPartition, tuple[int, int]] = {}
        for (number, place), found in logs.items():
            key = (self._segments[number].group, place)
            is_seen = self._histories[place].arrival(found.position) is not None
            if found.position >= found.end or is_seen:
                self._first_at.pop(key, None)
            elif self._first_at.get(key, (None, None))[0] != found.position:
                self._first_at.pop(key, None)
                asked.setdefault(place, (found.position, found.end))
        return asked

    async def _read_firsts(self, logs: _Logs, now: float) -> None:
        """Read the first unread records that came before their log was looked at."""
        asked = self._unseen_firsts(logs)
        if not asked:
            return
        try:
            async with asyncio.timeout(FIRST_RECORDS_SECONDS):
                stamps = await self._timestamps(asked)
        except (StreamappError, TimeoutError) as error:
            log.debug("the first unread records cannot be read: %s", error)
            return
        wall = self._clock.time()
        for (number, place), found in logs.items():
            if asked.get(place, (None, None))[0] == found.position:
                stamp = stamps.get(place)
                since = None if stamp is None else now - max(0.0, wall - stamp)
                self._first_at[self._segments[number].group, place] = (found.position, since)

    async def _timestamps(
        self, asked: Mapping[TopicPartition, tuple[int, int]]
    ) -> Mapping[TopicPartition, float]:
        """Timestamps of the first records between two offsets, in seconds since the epoch."""
        starts = {place: start for place, (start, _) in asked.items()}
        ends = {place: end for place, (_, end) in asked.items()}
        async with reading(self._broker, asked, max_prefetch_bytes=PREFETCH_BYTES) as reader:
            found = await reader.first_records(ends, starts)
        return {p: one.timestamp / 1000 for p, one in found.items() if one.timestamp >= 0}

    def _lags(
        self,
        logs: _Logs,
        topics: Mapping[str, TopicDescription],
    ) -> Iterator[PartitionLag]:
        for (number, place), found in logs.items():
            segment, kept = self._segments[number], topics[place.topic].retention_ms
            since = self._histories[place].arrival(found.position)
            if since is None:
                since = self._first_at.get((segment.group, place), (0, None))[1]
            yield PartitionLag(
                _name(segment),
                place,
                found.end - found.position,
                since if found.position < found.end else None,
                None if kept is None else kept / 1000,
            )

    def _note_unread(self, found: Snapshot) -> Mapping[StageName, float]:
        """Note since when there is lag that nobody reads."""
        unread = [s for s, count in found.members.items() if not count and found.behind(s)]
        self._unread_since = {s: self._unread_since.get(s, found.at) for s in unread}
        return self._unread_since


def _name(segment: Segment) -> StageName:
    return segment.pipeline, segment.name
