"""What must always hold, checked at every write, commit and delivery.

The checker sees the logs and commits of the broker, and the ledger of what was put in. It asks the
runtime nothing and shares no code with it.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.group import Membership
from streamapp.brokers.protocols import CommittedOffset
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Record, TopicPartition
from tests.simulation.holdings import Holdings
from tests.simulation.metadata import finished_ahead
from tests.simulation.outcomes import Outcomes, Part, Way, text
from tests.simulation.scenario import Fault
from tests.simulation.workload import SOURCE, Agents

if TYPE_CHECKING:
    from tests.simulation.consumer import SimulatedConsumer

_offset_of = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Origin:
    """The record that an output comes from, and its place among that record's outputs.

    Attributes:
        way: the stages that it went through, and the value that each was given.
    """

    part: Part
    partition: TopicPartition
    offset: int
    key: bytes | None
    place: int
    way: Way


class Checker:
    """Follows the logs.

    Attributes:
        complaints: what did not hold.
        on_complaint: called with each.
        checks: how often each rule was looked at.
        outcomes: what has to be written, and what is.
        holdings: what members hold.
    """

    def __init__(self, agents: Agents, on_complaint: Callable[[str], None]) -> None:
        self.complaints: list[str] = []
        self.on_complaint = on_complaint
        self.checks: Counter[str] = Counter()
        self.outcomes = Outcomes(agents)
        self.parts = self.outcomes.parts
        # A partition of which an attempt does not end stays closed: its records are forgotten, but
        # that is seen only when they are asked for again.
        stuck = {Fault.STUBBORN, Fault.SLOW_THREAD} & agents.scenario.shares.keys()
        self.holdings = Holdings(self.outcomes, self.complain, is_exact=not stuck)
        self._agents = agents
        self._by_source = {part.source: part for part in self.parts}
        self._by_group = {part.group: part for part in self.parts}
        self._origins: defaultdict[tuple[str, bytes], list[Origin]] = defaultdict(list)
        self._inputs: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
        self._verified: Counter[tuple[str, TopicPartition]] = Counter()
        self._commits: dict[tuple[str, TopicPartition], int] = {}
        self._generations: Counter[str] = Counter()
        self._deliveries: Counter[tuple[str, TopicPartition, int]] = Counter()
        self._latest: dict[tuple[object, ...], tuple[int, int]] = {}
        self._lost: set[tuple[str, bytes]] = set()
        self._given_up: set[tuple[int, str]] = set()
        self._starts: Counter[TopicPartition] = Counter()

    def complain(self, about: str) -> None:
        self.complaints.append(about)
        self.on_complaint(about)

    def written(self, target: TopicPartition, records: Sequence[Record]) -> None:
        """Records stand in a log now."""
        for record in records:
            if target.topic != SOURCE:
                self._check_output(target, record)
            if (part := self._by_source.get(target.topic)) is not None:
                self._inputs[target].append(record)
                self._expect(part, target, record)

    def not_written(self, target: TopicPartition, batch: MemoryBatch) -> None:
        """A batch was lost on its way: what is in it may come behind its successors."""
        self._lost.update((target.topic, value or b"") for _, _, value, _ in batch.entries)

    def deleted(self, partition: TopicPartition, before: int) -> None:
        """Retention has taken records: nobody can be asked for them any more."""
        self._starts[partition] = max(self._starts[partition], before)

    def joined(self, group: str, membership: Membership) -> None:
        self._generations[group] = max(self._generations[group], membership.generation)

    def committed(
        self,
        group: str,
        membership: Membership,
        offsets: Mapping[TopicPartition, CommittedOffset],
    ) -> None:
        """The coordinator has stored a commit."""
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

    def delivered(
        self, consumer: "SimulatedConsumer", partition: TopicPartition, records: Iterable[Record]
    ) -> None:
        """A member was handed records."""
        for record in records:
            self._deliveries[consumer.group, partition, record.offset] += 1
        self.checks["in flight"] += 1
        self.holdings.delivered(self._by_group[consumer.group], consumer, partition, records)

    def unfinished(self, ends: Mapping[TopicPartition, int]) -> list[str]:
        """What is not at its end yet: records without an end, commits before their log's end."""
        found = []
        for part in self.parts:
            for partition, end in ends.items():
                if partition.topic != part.source:
                    continue
                at = self._commits.get((part.group, partition), 0)
                if at != end:
                    found.append(f"{part.group}: {partition} is at {at} of {end}")
        return found

    def check_end(self, *, clean: bool) -> None:
        """Everything that was put in has ended; without a fault, once."""
        for part in self.parts:
            for partition, records in self._inputs.items():
                if partition.topic != part.source:
                    continue
                for record in records:
                    self.checks["end"] += 1
                    if record.offset < self._starts[partition]:
                        continue
                    if not self.outcomes.is_finished(part, record):
                        self.complain(f"{part.group}: lost {_told(partition, record)}")
        if clean:
            for (topic, value), count in self.outcomes.written.items():
                self.checks["once"] += 1
                if count > 1:
                    self.complain(f"{value!r} is {count} times in {topic}, without a fault")

    def repeated(self) -> int:
        """Records that were written more than once."""
        return sum(count - 1 for count in self.outcomes.written.values())

    def _expect(self, part: Part, partition: TopicPartition, record: Record) -> None:
        """Note what may come of a record that was put in."""
        for place, (topic, leaf, way) in enumerate(self.outcomes.leaves(part, record)):
            origin = Origin(part, partition, record.offset, record.key, place, way)
            self._origins[topic, leaf].append(origin)

    def _check_output(self, target: TopicPartition, record: Record) -> None:
        place = (target.topic, record.value or b"")
        origins = self._origins.get(place)
        if not origins:
            self.complain(f"nobody asked for {_told(target, record)}")
            return
        count = self.outcomes.written[place] = self.outcomes.written.get(place, 0) + 1
        self.checks["output"] += 1
        if record.key not in {origin.key for origin in origins}:
            self.complain(f"{_told(target, record)} has the key {record.key!r}")
        delivered = sum(self._deliveries[o.part.group, o.partition, o.offset] for o in origins)
        if count > delivered:
            self.complain(f"{_told(target, record)} is there {count} times of {delivered}")
        if target.topic.endswith(".dlq"):
            self._check_letter(target, record, origins)
        elif count == 1:
            self._check_order(target, record, origins[0])

    def _check_letter(
        self, target: TopicPartition, record: Record, origins: Sequence[Origin]
    ) -> None:
        self.checks["letter"] += 1
        headers = dict(record.headers)
        named = (
            headers.get("streamapp.error.topic"),
            headers.get("streamapp.error.partition"),
            headers.get("streamapp.error.offset"),
        )
        places = [
            tuple(str(part).encode() for part in (*origin.partition, origin.offset))
            for origin in origins
        ]
        if named not in places:
            self.complain(f"{_told(target, record)} names {named} as its source")
        if headers.get("streamapp.error.reason") == b"backlog":
            self._check_backlog(target, record, origins[0].part, headers)
        value = text(record.value)
        if value is None:
            return
        stage = int(headers["streamapp.error.stage"].decode().removeprefix("s"))
        place = (stage, value)
        allowed = self._agents.plan(*place).may_fail or place in self._agents.tainted
        last_word = self._agents.scenario.stages[stage].last_word
        if not allowed or (
            last_word is not ErrorPolicy.DEAD_LETTER and place not in self._given_up
        ):
            self.complain(f"{_told(target, record)} is no dead letter")

    def _check_backlog(
        self,
        target: TopicPartition,
        record: Record,
        part: Part,
        headers: Mapping[str, bytes],
    ) -> None:
        """A record may be given up because of others of its key, if the stage says so."""
        head = self._agents.scenario.stages[part.first]
        self._agents.fired[Fault.BACKLOG] += 1
        later = [r for records in self._inputs.values() for r in records if r.key == record.key]
        if (
            head.ordering != "key"
            or head.stops_on_backlog
            or len(later) <= head.max_key_backlog_records
        ):
            self.complain(f"{_told(target, record)} was given up because of others")
        if (value := text(record.value)) is not None:
            stage = int(headers["streamapp.error.stage"].decode().removeprefix("s"))
            self._agents.tainted.add((stage, value))
            self._given_up.add((stage, value))

    def _check_order(self, target: TopicPartition, record: Record, origin: Origin) -> None:
        """First occurrences of a key's outputs stand in the order of their inputs."""
        ordering = origin.part.ordering
        if ordering == "unordered" or (ordering == "key" and origin.key is None):
            return
        if ordering == "partition" and origin.key is None:
            return  # outputs without a key go to partitions in turn
        lane = (target, origin.part.group, origin.partition, origin.key)
        here = (origin.offset, origin.place)
        before = self._latest.get(lane, here)
        self.checks["order"] += 1
        if here < before and not self._may_be_late(target, record, origin):
            self.complain(
                f"{_told(target, record)} of input offset {origin.offset} stands behind one of"
                f" {before[0]}"
            )
        self._latest[lane] = max(before, here)

    def _may_be_late(self, target: TopicPartition, record: Record, origin: Origin) -> bool:
        """Whether a later one may stand before it: its batch was lost, or it had been given up.

        A record that failed for good in one delivery can succeed in the next; and nobody works
        again on what retention has taken.
        """
        agents = self._agents
        if (target.topic, record.value or b"") in self._lost:
            return True
        if origin.offset < self._starts[origin.partition]:
            return True
        if agents.scenario.stages[origin.part.first].gives_keys_up:
            return True
        return any(agents.plan(*step).may_fail or step in agents.tainted for step in origin.way)

    def _check_ahead(self, part: Part, partition: TopicPartition, commit: CommittedOffset) -> None:
        """What a commit says is finished beyond it is finished."""
        if not commit.metadata:
            return
        for offset in finished_ahead(commit):
            self.checks["ahead"] += 1
            record = self._input_at(partition, offset)
            if record is None or not self.outcomes.is_finished(part, record):
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
        """Everything before a committed offset is finished."""
        records, place = self._inputs[partition], (part.group, partition)
        at = self._verified[place]
        while at < len(records) and records[at].offset < offset:
            self.checks["frontier"] += 1
            gone = records[at].offset < self._starts[partition]
            if not gone and not self.outcomes.is_finished(part, records[at]):
                self.complain(
                    f"{part.group}: committed {offset} of {partition}, but"
                    f" {_told(partition, records[at])} is not finished"
                )
            at += 1
        self._verified[place] = at


def _told(partition: TopicPartition, record: Record) -> str:
    return f"{partition.topic}[{partition.partition}]@{record.offset} {record.value!r}"
