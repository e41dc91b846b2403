"""Goes on from a record to all that became of it."""

from collections.abc import Iterable

from streamapp.brokers.protocols import Admin
from streamapp.letters.ledger import Ledger, ledger_topic_of
from streamapp.pipeline.topology import Segment, Step
from streamapp.record_way.found import Address, Found
from streamapp.record_way.links import Certainty, Link, made_of
from streamapp.record_way.neighbours import Neighbour, Neighbours, Role
from streamapp.record_way.progress import ProgressReader
from streamapp.record_way.search import Fits, Gathered, Likeness, Search
from streamapp.record_way.way import LetterStop, Output, Return, Stop, Visit
from streamapp.runtime.retry_records import due_at


class Descent:
    """Goes on, through all stages.

    Args:
        admin: asks for offsets.
        search: reads topics.
        neighbours: the stages.
        told: takes what the bounds have left out.
    """

    def __init__(
        self, admin: Admin, search: Search, neighbours: Neighbours, told: Gathered
    ) -> None:
        self._search = search
        self._neighbours = neighbours
        self._told = told
        self._progress = ProgressReader(admin)
        self._gathered = Gathered()
        self._ledgers: dict[str, Ledger] = {}
        self._stops: dict[Address, Stop] = {}

    async def follow(self, start: Found) -> Stop:
        """What became of a record.

        Raises:
            BrokerError: something cannot be read.
        """
        segments = self._neighbours.readers(start.place.topic)
        await self._gather(start, self._neighbours.behind(segments))
        return await self._stop(start)

    async def _gather(self, start: Found, topics: Iterable[str]) -> None:
        """Look for all that may have been made of it: all of that has its event time."""
        at = start.event_ms

        def of_outputs(found: Found) -> Likeness:
            return _likeness(start, found) if found.event_ms == at else Likeness.NONE

        def of_failures(found: Found) -> Likeness:
            is_it = found.letter.told.timestamp_ms == at and found.letter.told.stage
            return _likeness(start, found) if is_it else of_outputs(found)

        wanted: dict[str, Fits] = {}
        for topic in filter(self._neighbours.exists, topics):
            is_of_failures = any(one.has_error_headers for one in self._neighbours.of(topic))
            wanted[topic] = of_failures if is_of_failures else of_outputs
        # Records that are dated with the present are later; unless the event is ahead of the clock.
        since = min(at, start.record.timestamp)
        is_ahead = since / 1000 > self._search.now()
        self._gathered = await self._search.gather(wanted, None if since < 0 or is_ahead else since)
        self._told.add_bounds(self._gathered)

    async def _stop(self, found: Found) -> Stop:
        stop = self._stops.get(found.address)
        if stop is None:
            stop = self._stops[found.address] = Stop(found)
            for segment in self._neighbours.readers(found.place.topic):
                stop.visits.append(await self._visit(segment, found))
        return stop

    async def _visit(self, segment: Segment, found: Found) -> Visit:
        written = list(dict.fromkeys(segment.written_topics()))
        has_outputs = any(True for step in segment.steps for _ in step.output_topics())
        visit = Visit(
            segment.pipeline,
            [step.stage.stage_id for step in segment.steps],
            has_outputs,
            await self._progress.of(segment.group, found.address),
            unread={one: n for one in written if (n := self._gathered.unread.get(one))},
            trimmed=[one for one in written if one in self._gathered.trimmed],
            missing=[one for one in written if not self._neighbours.exists(one)],
        )
        for step in segment.steps:
            await self._add_letters(visit, segment, step, found)
        for topic in (*segment.retry_topics, *segment.replay_topics):
            await self._add_returns(visit, segment, topic, found)
        for step in segment.steps:
            await self._add_outputs(visit, segment, step, found)
        return visit

    async def _add_outputs(self, visit: Visit, segment: Segment, step: Step, source: Found) -> None:
        # What was given up has no outputs, so those that are like it are of others. A stage that is
        # fused to another may have given up one of several values.
        is_given_up = len(segment.steps) == 1 and visit.is_given_up
        for topic in dict.fromkeys(step.output_topics()):
            for output in self._gathered.of(topic):
                link = made_of(segment, source, output)
                if link is not None and (link[0] is Certainty.CERTAIN or not is_given_up):
                    stop = await self._stop(output)
                    visit.outputs.append(Output(Link(output, *link), step.stage.stage_id, stop))
                elif output.made_from is None and output.event_ms == source.event_ms:
                    visit.others += 1
            visit.others += self._gathered.more.get(topic, 0)

    async def _add_letters(self, visit: Visit, segment: Segment, step: Step, source: Found) -> None:
        neighbour = Neighbour(segment, step, Role.DEAD_LETTERS)
        for letter in self._gathered.of(step.dead_letters):
            if _is_failure_of(neighbour, letter, source):
                ledger = await self._ledger(step.dead_letters)
                stop = await self._stop(letter)
                entry = ledger.entry_of(letter.letter)
                visit.letters.append(LetterStop(neighbour.stage, stop, entry))

    async def _add_returns(self, visit: Visit, segment: Segment, topic: str, source: Found) -> None:
        [neighbour] = [
            one
            for one in self._neighbours.of(topic)
            if one.segment is segment and one.role in (Role.RETRY, Role.REPLAY)
        ]
        retry = segment.retry_topics.get(topic)
        for found in self._gathered.of(topic):
            if _is_failure_of(neighbour, found, source):
                due = None if retry is None else due_at(found.record, retry.delay_seconds)
                progress = await self._progress.of(segment.group, found.address)
                visit.returns.append(Return(neighbour, found, due, progress))

    async def _ledger(self, topic: str) -> Ledger:
        """What was done with the letters of a topic."""
        if topic not in self._ledgers:
            ledger = self._ledgers[topic] = Ledger()
            name = ledger_topic_of(topic)
            if self._neighbours.exists(name):

                def take(found: Found) -> Likeness:
                    ledger.take(found.record.key, found.record.value)
                    return Likeness.NONE

                self._told.add_bounds(await self._search.gather({name: take}, None))
        return self._ledgers[topic]


def _likeness(start: Found, found: Found) -> Likeness:
    """How much a record with the event time of the first one is like it."""
    if found.record.key == start.record.key:
        return Likeness.LIKE
    if start.address in (found.made_from, found.failed_at):
        return Likeness.LIKE
    if start.event_ms < 0:  # all that have no time
        return Likeness.NONE
    are_equal = found.own_headers and found.own_headers == start.own_headers
    return Likeness.LIKE if are_equal else Likeness.TIME


def _is_failure_of(neighbour: Neighbour, failure: Found, source: Found) -> bool:
    """Whether these headers tell of a failure of this stage on this record."""
    told = failure.letter.told
    former = neighbour.step.renamed_from
    stages = {neighbour.stage} | ({former} if former else set())
    if failure.failed_at != source.address or told.stage not in stages:
        return False
    is_same = told.timestamp_ms in (None, source.event_ms)  # else of an earlier topic of that name
    return told.pipeline == neighbour.segment.pipeline and is_same
