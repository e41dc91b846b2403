"""Goes back from a record to those of which it was made."""

from collections.abc import Sequence

from streamapp.brokers.protocols import Admin
from streamapp.record import StoredRecord
from streamapp.record_way.found import Address, Found
from streamapp.record_way.links import Certainty, Link, made_of
from streamapp.record_way.neighbours import Neighbour, Neighbours, Role
from streamapp.record_way.search import Gathered, Likeness, Search

_MOST_STEPS = 1000
"""No pipeline has more topics one after the other; loops between pipelines end here."""

_ORDER = tuple(Certainty)


class Ascent:
    """Goes back, as long as it is known where to.

    Args:
        admin: asks for offsets.
        search: reads topics.
        neighbours: the stages.
        told: takes what the bounds have left out.
    """

    def __init__(
        self, admin: Admin, search: Search, neighbours: Neighbours, told: Gathered
    ) -> None:
        self._admin = admin
        self._search = search
        self._neighbours = neighbours
        self._told = told

    async def origins(self, asked: Found) -> list[list[Link]]:
        """Of what a record was made: one after the other, the nearest first.

        Where it is not known which of several it was, these are the last.

        Raises:
            BrokerError: a topic cannot be read.
        """
        chain: list[list[Link]] = []
        seen, current = {asked.address}, asked
        while len(chain) < _MOST_STEPS:
            found = [one for one in await self._before(current) if one.found.address not in seen]
            if not found:
                break
            chain.append(found)
            if len(found) > 1:
                break
            current = found[0].found
            seen.add(current.address)
        return chain

    async def _before(self, current: Found) -> list[Link]:
        beside = self._neighbours.of(current.place.topic)
        if any(one.has_error_headers for one in beside) and current.failed_at is not None:
            found = await self._read(current.failed_at, current)
            return [Link(found, Certainty.CERTAIN, "by the headers of its failure")]
        writers = [one for one in beside if one.role is Role.OUTPUT]
        named = current.made_from
        if named is not None and any(one.segment.has_source(named.place.topic) for one in writers):
            found = await self._read(named, current)
            return [Link(found, Certainty.CERTAIN, "by its audit trail")]
        return await self._alike(current, writers) if writers else []

    async def _alike(self, output: Found, writers: Sequence[Neighbour]) -> list[Link]:
        """What the stages that write the topic have read, and is like it."""
        topics = {
            one: writer for writer in writers for one in self._neighbours.sources(writer.segment)
        }

        def fits(found: Found) -> Likeness:
            is_it = made_of(topics[found.place.topic].segment, found, output) is not None
            return Likeness.LIKE if is_it else Likeness.NONE

        since = output.event_ms if output.event_ms >= 0 else None
        gathered = await self._search.gather(dict.fromkeys(topics, fits), since)
        self._told.add_bounds(gathered)
        links = [
            Link(found, *link)
            for topic, writer in topics.items()
            for found in gathered.of(topic)
            if (link := made_of(writer.segment, found, output)) is not None
        ]
        best = min((_ORDER.index(one.certainty) for one in links), default=0)
        return [one for one in links if _ORDER.index(one.certainty) == best]

    async def _read(self, at: Address, later: Found) -> Found:
        """The record at this place; one that was deleted is known by what was made of it."""
        counts = await self._admin.partition_counts([at.place.topic])
        if at.place.partition < counts.get(at.place.topic, 0):
            begin = (await self._admin.beginning_offsets([at.place]))[at.place]
            end = (await self._admin.end_offsets([at.place]))[at.place]
            if begin <= at.offset < end:
                record = await self._search.record_at(at.place, at.offset)
                if record is not None:
                    return Found(at.place, record)
        told = later.letter.told.timestamp_ms
        timestamp = later.event_ms if told is None else told
        headers = later.letter.original_headers
        gone = StoredRecord(at.offset, timestamp, later.record.key, None, headers)
        return Found(at.place, gone, is_gone=True)
