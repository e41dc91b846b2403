"""What must always hold, checked at every write, commit and delivery.

The checker sees the logs and commits of the broker, and the ledger of what was put in. It asks the
runtime nothing and shares no code with it.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.group import Membership
from streamapp.brokers.protocols import CommittedOffset
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Record, TopicPartition
from tests.simulation.metadata import finished_ahead
from tests.simulation.scenario import Fault
from tests.simulation.workload import SINK, SOURCE, Agents

if TYPE_CHECKING:
    from tests.simulation.consumer import SimulatedConsumer

Way: TypeAlias = tuple[tuple[int, str], ...]

_offset_of = attrgetter("offset")

_HELD_BEHIND = 9
"""Bounds of records in flight that may be delivered from the first unfinished record on."""


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, as the pipeline was declared: what it reads, and which stages it runs."""

    group: str
    source: str
    first: int
    last: int
    output: str
    bound: int
    ordering: str


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


@dataclass(slots=True)
class Holding:
    """What a member was given of one partition and, as far as one can see, has not finished."""

    delivered: list[int] = field(default_factory=list)
    open: dict[int, Record] = field(default_factory=dict)


class Checker:
    """Follows the logs.

    Attributes:
        complaints: what did not hold.
        on_complaint: called with each.
        checks: how often each rule was looked at.
    """

    def __init__(self, agents: Agents, on_complaint: Callable[[str], None]) -> None:
        self.complaints: list[str] = []
        self.on_complaint = on_complaint
        self.checks: Counter[str] = Counter()
        self.parts = list(_parts(agents))
        self._agents = agents
        self._by_source = {part.source: part for part in self.parts}
        self._by_group = {part.group: part for part in self.parts}
        self._written: dict[tuple[str, bytes], int] = {}
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
        self._holdings: dict[object, dict[TopicPartition, Holding]] = {}

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
        self, consumer: "SimulatedConsumer", partition: TopicPartition, records: Sequence[Record]
    ) -> None:
        """A member was handed records."""
        part = self._by_group[consumer.group]
        holdings = self._holdings.setdefault(consumer, {})
        holding = holdings.setdefault(partition, Holding())
        for record in records:
            self._deliveries[consumer.group, partition, record.offset] += 1
            holding.delivered.append(record.offset)
            holding.open[record.offset] = record
        in_flight = 0
        for held in holdings.values():
            ended = [o for o, record in held.open.items() if self.is_finished(part, record)]
            for offset in ended:
                del held.open[offset]
            in_flight += len(held.open)
            first = min(held.open, default=None)
            while held.delivered and (first is None or held.delivered[0] < first):
                held.delivered.pop(0)
            if len(held.delivered) > _HELD_BEHIND * part.bound:
                self.complain(f"{part.group}: {len(held.delivered)} offsets held of {partition}")
        self.checks["in flight"] += 1
        # A partition of which an attempt does not end stays closed: its records are forgotten, but
        # that is seen only when they are asked for again.
        stubborn = Fault.STUBBORN in self._agents.scenario.shares
        if in_flight > part.bound and not stubborn:
            self.complain(f"{part.group}: {in_flight} records in flight, over {part.bound}")

    def sought(self, consumer: "SimulatedConsumer", partition: TopicPartition, offset: int) -> None:
        """A member asks for records again from here."""
        holding = self._holdings.get(consumer, {}).get(partition)
        if holding is not None:
            holding.delivered = [o for o in holding.delivered if o < offset]
            holding.open = {o: r for o, r in holding.open.items() if o < offset}

    def revoking(self, consumer: "SimulatedConsumer") -> None:
        """A member is told to give back what it has."""

    def revoked(self, consumer: "SimulatedConsumer") -> None:
        """A member has given everything back."""
        self._holdings.pop(consumer, None)

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
                    if not self.is_finished(part, record):
                        self.complain(f"{part.group}: lost {_told(partition, record)}")
        if clean:
            for (topic, value), count in self._written.items():
                self.checks["once"] += 1
                if count > 1:
                    self.complain(f"{value!r} is {count} times in {topic}, without a fault")

    def repeated(self) -> int:
        """Records that were written more than once."""
        return sum(count - 1 for count in self._written.values())

    def is_finished(self, part: Part, record: Record) -> bool:
        """Whether all that has to come of a record is in the logs."""
        value = _text(record.value)
        if value is None:
            return self._cannot_decode(part, record.value or b"")
        return self._has_ended(part, part.first, value)

    def _cannot_decode(self, part: Part, value: bytes) -> bool:
        last_word = self._agents.scenario.stages[part.first].last_word
        letter = (_letters(part.first), value) in self._written
        return letter or last_word is ErrorPolicy.DROP

    def _has_ended(self, part: Part, stage: int, value: str) -> bool:
        agents = self._agents
        plan = agents.plan(stage, value)
        tainted = (stage, value) in agents.tainted
        if not plan.must_fail:
            if plan.outputs:
                through = all(self._is_out(part, stage, output) for output in plan.outputs)
            else:
                through = agents.returned[stage, value] > 0
            if through or not (plan.may_fail or tainted):
                return through
        draw = agents.scenario.stages[stage]
        if (_letters(stage), _bytes(value)) in self._written:
            return True
        if draw.last_word is ErrorPolicy.SKIP:
            return self._is_out(part, stage, value)
        if draw.last_word is ErrorPolicy.DROP:
            return agents.failed[stage, value] > 0 or (tainted and agents.started[stage, value] > 0)
        return False

    def _is_out(self, part: Part, stage: int, value: str) -> bool:
        if stage == part.last:
            return (part.output, _bytes(value)) in self._written
        return self._has_ended(part, stage + 1, value)

    def _expect(self, part: Part, partition: TopicPartition, record: Record) -> None:
        """Note what may come of a record that was put in."""
        value = _text(record.value)
        leaves: list[tuple[str, bytes, Way]]
        if value is None:
            leaves = [(_letters(part.first), record.value or b"", ())]
        else:
            leaves = list(self._leaves(part, part.first, value, ()))
        for place, (topic, leaf, way) in enumerate(leaves):
            origin = Origin(part, partition, record.offset, record.key, place, way)
            self._origins[topic, leaf].append(origin)

    def _leaves(
        self, part: Part, stage: int, value: str, way: Way
    ) -> Iterator[tuple[str, bytes, Way]]:
        plan = self._agents.plan(stage, value)
        passed_on = [*plan.outputs]
        if self._agents.scenario.stages[stage].last_word is ErrorPolicy.SKIP:
            passed_on.append(value)
        way = (*way, (stage, value))
        for output in passed_on:
            if stage == part.last:
                yield part.output, _bytes(output), way
            else:
                yield from self._leaves(part, stage + 1, output, way)
        yield _letters(stage), _bytes(value), way

    def _check_output(self, target: TopicPartition, record: Record) -> None:
        place = (target.topic, record.value or b"")
        origins = self._origins.get(place)
        if not origins:
            self.complain(f"nobody asked for {_told(target, record)}")
            return
        count = self._written[place] = self._written.get(place, 0) + 1
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
        value = _text(record.value)
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
        if (value := _text(record.value)) is not None:
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
            if record is None or not self.is_finished(part, record):
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
            if not gone and not self.is_finished(part, records[at]):
                self.complain(
                    f"{part.group}: committed {offset} of {partition}, but"
                    f" {_told(partition, records[at])} is not finished"
                )
            at += 1
        self._verified[place] = at


def _parts(agents: Agents) -> Iterator[Part]:
    stages = agents.scenario.stages
    heads = [i for i, stage in enumerate(stages) if not stage.fused]
    for head, following in zip(heads, [*heads[1:], len(stages)], strict=True):
        last = following - 1
        yield Part(
            group=f"sim.s{head}",
            source=SOURCE if head == 0 else f"sim.s{head - 1}",
            first=head,
            last=last,
            output=SINK if last == len(stages) - 1 else f"sim.s{last}",
            bound=stages[head].max_in_flight_records,
            ordering=stages[head].ordering,
        )


def _letters(stage: int) -> str:
    return f"sim.s{stage}.dlq"


def _bytes(value: str) -> bytes:
    return f'"{value}"'.encode()


def _text(value: bytes | None) -> str | None:
    """The value of a record; `None` for bytes that do not decode."""
    if value is None or not value.startswith(b'"') or not value.endswith(b'"'):
        return None
    return value[1:-1].decode()


def _told(partition: TopicPartition, record: Record) -> str:
    return f"{partition.topic}[{partition.partition}]@{record.offset} {record.value!r}"
