"""Checks the promises at every write, commit and fetch.

The checker knows the logs and commits of the broker, and the list of records that were put in. It
calls nothing of the runtime and shares no code with it.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.group import Membership
from streamapp.brokers.protocols import CommittedOffset
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Record, TopicPartition
from tests.simulation.faults import Fault
from tests.simulation.finished import Finished
from tests.simulation.flushes import Flushes
from tests.simulation.history import MOST_HISTORY_BYTES, check_history
from tests.simulation.holdings import Holdings
from tests.simulation.holds import Holds
from tests.simulation.letters import Letters, facts_of
from tests.simulation.loop import VirtualLoop
from tests.simulation.metadata import finished_ahead
from tests.simulation.orders import Orders
from tests.simulation.outcomes import Origin, Outcomes, Part, text, without_facts
from tests.simulation.positions import Positions
from tests.simulation.starvation import Starvation
from tests.simulation.stops import Stops
from tests.simulation.waits import Waits
from tests.simulation.workload import Agents

if TYPE_CHECKING:
    from tests.simulation.share import Share

_offset_of = attrgetter("offset")
_GIVES_UP = (ErrorPolicy.DEAD_LETTER, ErrorPolicy.DROP)

_MOST_BESIDE_VALUE_BYTES = 1024
"""Without a long audit trail, an output takes no more than this beside its value: a batch of its
own, key, error headers."""


class Checker:
    """Follows the logs, and complains when a promise is broken.

    Attributes:
        complaints: broken promises.
        on_complaint: called with each complaint.
        checks: how often each promise was checked.
        outcomes: what has to be written, and what was.
        holdings: what each member has in flight.
        finished: what each member knows to be finished.
        flushes: what producers send.
        positions: what retention has deleted before it was read.
        stops: how long drains and stops take.
        starvation: whether members read on.
        holds: what stages do while they hold their records.
    """

    def __init__(
        self, agents: Agents, loop: VirtualLoop, on_complaint: Callable[[str], None]
    ) -> None:
        self.complaints: list[str] = []
        self.on_complaint = on_complaint
        self.checks: Counter[str] = Counter()
        self.outcomes = Outcomes(agents)
        self.parts = self.outcomes.parts
        # A partition whose attempt does not end stays closed. Its records are forgotten, but from
        # outside that is seen only when they are fetched again.
        stuck = {Fault.STUBBORN, Fault.SLOW_THREAD} & agents.scenario.shares.keys()
        self.holdings = Holdings(self.outcomes, self.complain, is_exact=not stuck)
        self._agents = agents
        self._by_topic = {topic: part for part in self.parts for topic in part.reads}
        self._sources = frozenset(agents.scenario.sources.all)
        self._by_group = {part.group: part for part in self.parts}
        self._origins: defaultdict[tuple[str, bytes], list[Origin]] = defaultdict(list)
        self._inputs: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
        self._verified: Counter[tuple[str, TopicPartition]] = Counter()
        self._commits: dict[tuple[str, TopicPartition], int] = {}
        self._generations: Counter[str] = Counter()
        self._fetches: Counter[tuple[str, TopicPartition, int]] = Counter()
        self._starts: Counter[TopicPartition] = Counter()
        self._ends: dict[TopicPartition, int] = {}
        waits = self._waits = Waits(agents, loop, self.complain, self.checks)
        self._letters = Letters(
            agents, self._of_key, self._may_be_full, self.complain, self.checks, waits
        )
        self._orders = Orders(
            agents, self._is_deleted, self._times_fetched, self.complain, self.checks
        )
        self.positions = Positions(self._starts.__getitem__, self.complain, self.checks)
        self.stops = Stops(agents.scenario, loop, self.complain, self.checks)
        self.starvation = Starvation(
            agents.scenario, loop, self.stops.busy_at, self.complain, self.checks
        )
        self.finished = Finished(
            self.parts, self._starts.__getitem__, self.complain, self.checks, waits
        )
        self.flushes = Flushes(
            agents.scenario,
            self.parts,
            loop,
            origins_of=lambda topic, value: self._origins.get((topic, value), ()),
            ended_empty_at=agents.ended_empty_at,
            finished=self.finished,
            busy=self.stops.busy,
            complain=self.complain,
            checks=self.checks,
        )
        self.holds = Holds(agents, loop, self.complain, self.checks)
        self._letters.holds = self.starvation.holds = agents.watch = self.holds
        agents.on_attempt = self.finished.attempted
        agents.on_change = self.stops.busy

    def complain(self, about: str) -> None:
        self.complaints.append(about)
        self.on_complaint(about)

    def written(self, target: TopicPartition, records: Sequence[Record]) -> None:
        """Records were written to a log."""
        for record in records:
            if target.topic not in self._sources:
                self._check_output(target, record)
            if (part := self._by_topic.get(target.topic)) is not None:
                self._inputs[target].append(record)
                self._expect(part, target, record)

    def not_written(self, target: TopicPartition, batch: MemoryBatch) -> None:
        """A batch was lost, so its records may be written behind later ones."""
        for _, _, value, _ in batch.entries:
            self._orders.not_written(target.topic, value or b"")

    def refuses(self, topic: str, batch: MemoryBatch) -> bool:
        """Whether the broker refuses a batch for one of its outputs, whose record fails then.

        Only where a stage gives such records up, or drops them; others would stop for ever, or
        write another output in place of the refused one.
        """
        refused = False
        for _, _, value, _ in batch.entries:
            place = (topic, value or b"")
            origins = self._origins.get(place, ())
            writers = [
                o.part.waits[topic][0] if topic in o.part.waits else o.part.last for o in origins
            ]
            stages = [self._agents.scenario.stages[writer] for writer in writers]
            if topic.endswith(".dlq") or not self._agents.scenario.refuses(*place):
                continue
            if all(stage.last_word in _GIVES_UP for stage in stages):
                for origin in origins:
                    self._taint(topic, origin)
                refused = True
        return refused

    def _taint(self, topic: str, origin: Origin) -> None:
        """All outputs of a record for a topic may fail when the topic refuses one of them."""
        record = self._input_at(origin.partition, origin.offset)
        if record is not None:
            leaves = self.outcomes.leaves(origin.part, origin.partition.topic, record)
            self._agents.tainted.update(leaf.way[-1] for leaf in leaves if leaf.topic == topic)

    def deleted(self, partition: TopicPartition, before: int) -> None:
        """Retention has deleted records, so they need not be worked on."""
        self._starts[partition] = max(self._starts[partition], before)

    def truncated(self, partition: TopicPartition, end: int) -> None:
        """A log has lost its records from this offset on, so they need not be worked on."""
        self._ends[partition] = end

    def offset_set(self, group: str, partition: TopicPartition, offset: int) -> None:
        """An operator has set the offset of a group."""
        self._commits[group, partition] = offset

    def unfinished_before(self, partition: TopicPartition, offset: int) -> list[int]:
        """Offsets before this one of records that are not finished, though the log has them."""
        part = self._by_topic[partition.topic]
        kept = range(self._starts[partition], min(offset, self._ends.get(partition, offset)))
        records = (record for record in self._inputs[partition] if record.offset in kept)
        return [r.offset for r in records if not self._is_finished(part, partition, r)]

    def joined(self, group: str, membership: Membership) -> None:
        self._generations[group] = max(self._generations[group], membership.generation)

    def committed(
        self,
        group: str,
        membership: Membership,
        offsets: Mapping[TopicPartition, CommittedOffset],
    ) -> None:
        """The group has stored a commit."""
        if membership.generation != self._generations[group]:
            self.complain(f"{group}: a commit of generation {membership.generation} was stored")
        for partition, commit in offsets.items():
            self.checks["commit"] += 1
            if partition not in membership.partitions:
                self.complain(f"{group}: {membership.member_id} committed {partition} of another")
            before = self._commits.get((group, partition), 0)
            if commit.offset < before:
                self.complain(f"{group}: {partition} went back from {before} to {commit.offset}")
            self._commits[group, partition] = commit.offset
            part = self._by_group[group]
            self._check_frontier(part, partition, commit.offset)
            self._check_ahead(part, partition, commit)

    def fetched(
        self, consumer: "Share", partition: TopicPartition, records: Iterable[Record]
    ) -> None:
        """A fetch has returned records to a member."""
        for record in records:
            self._fetches[consumer.group, partition, record.offset] += 1
        self.checks["in flight"] += 1
        part = self._by_group[consumer.group]
        self.holdings.fetched(part, consumer, partition, records)
        self.flushes.fetched(consumer.process, part, records)

    def requested(self, consumer: "Share", partitions: Collection[TopicPartition]) -> None:
        """A member asks for more records of these partitions."""
        self.checks["asks for more"] += 1
        self.starvation.reads(consumer)
        self._note_poll(consumer)
        self.holdings.requested(self._by_group[consumer.group], consumer, partitions)

    def polled(self, consumer: "Share", *, has_unread: bool) -> None:
        """A member polls without asking for records."""
        self._note_poll(consumer)
        head = self._by_group[consumer.group].first
        self.starvation.polls(consumer, head, has_unread=has_unread)

    def waits(self, consumer: "Share") -> None:
        """A member waits for records of any share, which is a poll for all."""
        self._note_poll(consumer)

    def _note_poll(self, consumer: "Share") -> None:
        head = self._by_group[consumer.group].first
        self.holds.polls(consumer, head, is_away=self.starvation.is_away(consumer))

    def stops_on_loss(self, group: str) -> bool:
        """Whether a stage is declared to stop when its position is lost."""
        stages = self._agents.scenario.stages
        return stages[self._by_group[group].first].stops_on_loss

    def unfinished(self, ends: Mapping[TopicPartition, int]) -> list[str]:
        """Records without all their outputs, and commits before the end of their log."""
        found = []
        for part in self.parts:
            for partition, end in ends.items():
                if partition.topic not in part.reads:
                    continue
                # A partition that retention has emptied has reached its end without a commit.
                at = self._commits.get((part.group, partition), self._starts[partition])
                if at != end:
                    found.append(f"{part.group}: {partition} is at {at} of {end}")
        return found

    def check_end(self, *, clean: bool) -> None:
        """Complain unless every input record is finished; without a fault, exactly once."""
        for part in self.parts:
            for partition, records in self._inputs.items():
                if partition.topic not in part.reads:
                    continue
                for record in records:
                    self.checks["end"] += 1
                    is_gone = record.offset >= self._ends.get(partition, record.offset + 1)
                    if is_gone or record.offset < self._starts[partition]:
                        continue
                    if not self._is_finished(part, partition, record):
                        self.complain(f"{part.group}: lost {_told(partition, record)}")
        if clean:
            for (topic, value), count in self.outcomes.written.items():
                self.checks["once"] += 1
                if count > 1:
                    self.complain(f"{value!r} is {count} times in {topic}, without a fault")

    def repeated(self) -> int:
        """Outputs that were written more than once."""
        return sum(count - 1 for count in self.outcomes.written.values())

    def _expect(self, part: Part, partition: TopicPartition, record: Record) -> None:
        """Note which outputs an input record may have."""
        first = (partition.topic, str(partition.partition), str(record.offset))
        if partition.topic in part.waits:
            facts = facts_of(record.headers)
            first = (facts["topic"], facts["partition"], facts["offset"])
        for place, leaf in enumerate(self.outcomes.leaves(part, partition.topic, record)):
            origin = Origin(
                part,
                partition,
                record.offset,
                record.key,
                leaf.key,
                leaf.headers,
                place,
                leaf.way,
                first,
            )
            self._origins[leaf.topic, leaf.value].append(origin)

    def _of_key(self, key: bytes | None) -> int:
        """How many input records have this key."""
        return sum(record.key == key for records in self._inputs.values() for record in records)

    def _may_be_full(self, part: Part) -> bool:
        """Whether there are so many records, or bytes, that a segment may read no more.

        Outputs that are not acknowledged count as bytes in flight too.
        """
        reads = part.reads
        records = [(p.topic, r) for p, own in self._inputs.items() if p.topic in reads for r in own]
        value_bytes = sum(len(record.value or b"") for _, record in records)
        leaves = [leaf for of in records for leaf in self.outcomes.leaves(part, *of)]
        beside = _MOST_BESIDE_VALUE_BYTES
        beside += MOST_HISTORY_BYTES if self._agents.scenario.carries_history else 0
        value_bytes += sum(beside + len(leaf.value) for leaf in leaves)
        return len(records) > part.bound // 2 or value_bytes >= part.bytes_bound

    def _check_output(self, target: TopicPartition, record: Record) -> None:
        place = (target.topic, record.value or b"")
        origins = self._origins.get(place)
        if not origins:
            self.complain(f"nobody asked for {_told(target, record)}")
            return
        count = self.outcomes.written[place] = self.outcomes.written.get(place, 0) + 1
        self.checks["output"] += 1
        check_history(_told(target, record), record, self.complain, self.checks)
        headers = without_facts(record.headers)
        if (record.key, headers) not in [(o.out_key, o.headers) for o in origins]:
            self.complain(f"{_told(target, record)} has the key {record.key!r} and {headers}")
        fetched = sum(map(self._times_fetched, origins))
        if count > fetched:
            self.complain(f"{_told(target, record)} is there {count} times of {fetched}")
        if target.topic.endswith(".dlq"):
            self._letters.check(_told(target, record), record, origins)
        elif target.topic in origins[0].part.waits:
            self._check_waiting(target, record, origins)
        elif count == 1 and len({origin.partition for origin in origins}) == 1:
            self._orders.check(_told(target, record), target, record, origins[0])

    def _check_waiting(
        self, target: TopicPartition, record: Record, origins: Sequence[Origin]
    ) -> None:
        """A record was written to a retry topic."""
        told, value = _told(target, record), text(record.value)
        facts = self._letters.check_facts(told, record, origins)
        stage, number = origins[0].part.waits[target.topic]
        assert value is not None  # what does not decode is not among the origins
        self._waits.moved(told, stage, value, number, (target, record.offset), facts)

    def _is_finished(self, part: Part, partition: TopicPartition, record: Record) -> bool:
        return self.outcomes.is_finished(part, partition.topic, record)

    def _is_deleted(self, origin: Origin) -> bool:
        return origin.offset < self._starts[origin.partition]

    def _times_fetched(self, origin: Origin) -> int:
        return self._fetches[origin.part.group, origin.partition, origin.offset]

    def _check_ahead(self, part: Part, partition: TopicPartition, commit: CommittedOffset) -> None:
        """Offsets that a commit calls finished, beyond the committed one, must be finished."""
        if not commit.metadata:
            return
        for offset in finished_ahead(commit):
            self.checks["ahead"] += 1
            record = self._input_at(partition, offset)
            if record is None or not self._is_finished(part, partition, record):
                self.complain(
                    f"{part.group}: the commit of {partition} at {commit.offset} says that {offset}"
                    " is finished"
                )

    def _input_at(self, partition: TopicPartition, offset: int) -> Record | None:
        records = self._inputs[partition]
        place = bisect_left(records, offset, key=_offset_of)
        found = records[place] if place < len(records) else None
        return found if found is not None and found.offset == offset else None

    def _check_frontier(self, part: Part, partition: TopicPartition, offset: int) -> None:
        """All records before a committed offset must be finished."""
        records, place = self._inputs[partition], (part.group, partition)
        at = self._verified[place]
        while at < len(records) and records[at].offset < offset:
            self.checks["frontier"] += 1
            gone = records[at].offset < self._starts[partition]
            if not gone and not self._is_finished(part, partition, records[at]):
                self.complain(
                    f"{part.group}: committed {offset} of {partition}, but"
                    f" {_told(partition, records[at])} is not finished"
                )
            at += 1
        self._verified[place] = at


def _told(partition: TopicPartition, record: Record) -> str:
    return f"{partition.topic}[{partition.partition}]@{record.offset} {record.value!r}"
