"""Follows what the producers of a worker send: flushes, failures, replacements."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.errors import BatchRefusedError
from streamapp.policies.policy import ErrorPolicy
from streamapp.record import Record, TopicPartition
from tests.simulation.faults import Fault
from tests.simulation.loop import VirtualLoop
from tests.simulation.outcomes import Origin, Part, letters, text
from tests.simulation.scenario import Scenario

if TYPE_CHECKING:
    from tests.simulation.finished import Finished
    from tests.simulation.producer import SimulatedProducer

_TICK_SECONDS = 0.01
_SHORTEST_WAITS = (0.25, 0.5, 1.0, 2.0, 4.0, 5.0)
"""Before the second replay after another, the third, and so on: a half of the longest."""

_TURNS = 3
"""Flushes after which outputs without a key must have gone to more than one partition."""


@dataclass(slots=True, eq=False)
class Flush:
    """Batches of one segment that were sent in one turn of the loop.

    Attributes:
        part: the segment.
        turn: number of the turn.
        sent_at: time of the turn.
        left: batches that are not acknowledged.
        values: values in these batches, by topic.
        targets: the partition of each of these values.
        waiting: how many batches of each partition are not acknowledged.
        is_cut: whether there are batches of which nothing is known.
    """

    part: Part
    turn: int
    sent_at: float
    left: int = 0
    values: list[tuple[str, bytes]] = field(default_factory=list)
    targets: dict[tuple[str, bytes], TopicPartition] = field(default_factory=dict)
    waiting: Counter[TopicPartition] = field(default_factory=Counter)
    is_cut: bool = False


@dataclass(slots=True)
class Seen:
    """What is known of one producer.

    Attributes:
        is_lost: whether one of its batches has failed.
        open: flushes that are not acknowledged.
    """

    is_lost: bool = False
    open: list[Flush] = field(default_factory=list)


class Flushes:
    """Follows the producers of all workers.

    Args:
        scenario: says which outputs have no key, and how long a batch may take.
        parts: the segments.
        loop: tells the time.
        origins_of: finds the records from which a value in a topic can come, by segment and
            partition.
        ended_empty_at: when records without an output ended, by process and first stage.
        finished: told what is acknowledged.
        busy: called with the process when something is sent or acknowledged.
        complain: called when a promise is broken.
        checks: how often each promise was checked.
    """

    def __init__(
        self,
        scenario: Scenario,
        parts: Collection[Part],
        loop: VirtualLoop,
        *,
        origins_of: Callable[[str, bytes], Collection[Any]],
        ended_empty_at: dict[tuple[str, int], float],
        finished: "Finished",
        busy: Callable[[str], None],
        complain: Callable[[str], None],
        checks: Counter[str],
    ) -> None:
        self._scenario = scenario
        self._loop = loop
        self._origins_of = origins_of
        self._ended_empty_at = ended_empty_at
        self._finished = finished
        self._busy = busy
        self._complain = complain
        self._checks = checks
        self._seen: defaultdict[object, Seen] = defaultdict(Seen)
        self._latest: dict[object, SimulatedProducer] = {}
        self._losses: defaultdict[tuple[object, str], list[float]] = defaultdict(list)
        self._keyless: defaultdict[tuple[object, str], tuple[set[int], set[int]]] = defaultdict(
            lambda: (set(), set())
        )
        self._part_of = {part.output: part for part in parts} | {
            letters(stage): part for part in parts for stage in range(part.first, part.last + 1)
        }
        self._part_of |= {topic: part for part in parts for topic in part.waits}
        self._keyless_topics = {part.output for part in parts if self._is_keyless(part)}

    def started(self, producer: "SimulatedProducer") -> None:
        """A worker has a new producer, so the previous one must have failed."""
        life = producer.life
        previous = self._latest.get(life)
        self._latest[life] = producer
        if previous is not None:
            self._checks["replaced"] += 1
            self._expire(previous)
            if not self._seen[previous].is_lost:
                self._complain(f"{producer.process} replaced a producer that had not failed")
            if previous.keeps_waiting:
                self._complain(f"{producer.process} waits for a producer that it has replaced")
            self._keep(producer.process, self._seen[previous].open)

    def sent(
        self,
        producer: "SimulatedProducer",
        target: TopicPartition,
        batch: MemoryBatch,
        acknowledgement: Any,
    ) -> None:
        """A batch was sent."""
        flush = self._added(producer, target, batch)
        self._busy(producer.process)
        if target.topic in self._keyless_topics:
            self._note_keyless(producer, target)
        acknowledgement.add_done_callback(partial(self._answered, producer, flush, target))

    def fetched(self, process: str, part: Part, records: Iterable[Record]) -> None:
        """Note bytes that do not decode and are dropped: they finish without an attempt."""
        drops = self._scenario.stages[part.first].last_word is ErrorPolicy.DROP
        if drops and any(text(record.value) is None for record in records):
            self._ended_empty_at[process, part.first] = self._loop.time()

    def refused(
        self, producer: "SimulatedProducer", target: TopicPartition, batch: MemoryBatch
    ) -> None:
        """The client has refused a batch; others of its flush may not be sent at all."""
        self._added(producer, target, batch).is_cut = True
        self._lose(producer, self._part_of[target.topic])

    def stuck(
        self, producer: "SimulatedProducer", target: TopicPartition, batch: MemoryBatch
    ) -> None:
        """The client does not take a batch."""
        self._added(producer, target, batch).is_cut = True

    def _added(
        self, producer: "SimulatedProducer", target: TopicPartition, batch: MemoryBatch
    ) -> Flush:
        """The flush that a batch belongs to."""
        part = self._part_of[target.topic]
        seen, turn = self._seen[producer], self._loop.turns
        flush = next((f for f in seen.open if f.turn == turn and f.part is part), None)
        if flush is None:
            flush = Flush(part, turn, self._loop.time())
            seen.open.append(flush)
        flush.left += 1
        flush.waiting[target] += 1
        values = [(target.topic, value or b"") for _, _, value, _ in batch.entries]
        flush.values += values
        flush.targets |= dict.fromkeys(values, target)
        return flush

    def _answered(
        self,
        producer: "SimulatedProducer",
        flush: Flush,
        target: TopicPartition,
        answer: Any,
    ) -> None:
        seen = self._seen[producer]
        if answer.cancelled():
            return
        self._busy(producer.process)
        if (error := answer.exception()) is not None:
            self._lose(producer, flush.part, waits=not isinstance(error, BatchRefusedError))
            return
        self._expire(producer)
        flush.left -= 1
        flush.waiting[target] -= 1
        if flush.left == 0 and not seen.is_lost:
            self._losses.pop((producer.life, flush.part.group), None)
            seen.open.remove(flush)
            self._acknowledge(producer.process, flush)

    def _acknowledge(self, process: str, flush: Flush) -> None:
        for topic, value in flush.values:
            origins = self._origins_of(topic, value)
            if len(origins) == 1:  # else it can be that of another record
                (origin,) = origins
                self._finished.acknowledged(
                    process,
                    origin.part.group,
                    origin.partition,
                    origin.offset,
                    sent_at=flush.sent_at,
                )

    def _keep(self, process: str, flushes: Iterable[Flush]) -> None:
        """Note what is finished of the flushes of a lost producer.

        These are records whose outputs are all acknowledged, unless an earlier record of their key
        has to be worked on again. Outputs with other keys or headers than their records are left
        out, since the runtime does not know then to which partitions they went.
        """
        if Fault.RETENTION in {fault for _, fault in self._scenario.events}:
            return  # a lost position lets records be read again
        sent: dict[Origin, float] = {}
        repeated: set[object] = set()
        for flush in flushes:
            for place in flush.values:
                origins = self._origins_of(*place)
                for origin in origins:
                    sent[origin] = flush.sent_at
                    # Of two batches for a partition, it is not known which has the output.
                    if flush.is_cut or flush.waiting[flush.targets[place]] or len(origins) > 1:
                        repeated.update(self._marks(origin))
        for origin, sent_at in sent.items():
            part = origin.part
            stages = self._scenario.stages[part.first : part.last + 1]
            if any(stage.rewrites for stage in stages):
                continue
            if repeated.isdisjoint(self._marks(origin)):
                self._checks["kept"] += 1
                self._finished.kept(
                    process, part.group, origin.partition, origin.offset, sent_at=sent_at
                )

    @staticmethod
    def _marks(origin: Origin) -> Collection[object]:
        """What says that a record is worked on again: itself, and what it waits behind."""
        key = origin.key if origin.part.ordering == "key" else None
        where = (origin.part.group, origin.partition)
        return (*where, origin.offset), (*where, origin.part.ordering, key)

    def _expire(self, producer: "SimulatedProducer") -> None:
        """A batch was not acknowledged in time, so it has failed."""
        deadline = self._scenario.config.delivery_timeout_seconds - _TICK_SECONDS
        for flush in self._seen[producer].open:
            if self._loop.time() - flush.sent_at >= deadline:
                self._lose(producer, flush.part)

    def _lose(self, producer: "SimulatedProducer", part: Part, *, waits: bool = True) -> None:
        seen = self._seen[producer]
        if seen.is_lost:
            return
        seen.is_lost = True
        for life, topic in list(self._keyless):
            if life is producer.life:  # a flush that was lost had its turn as well
                del self._keyless[life, topic]
        if not waits:
            return  # the next replay is different, as it looks for a record that is refused
        losses = self._losses[producer.life, part.group]
        emptied_at = self._ended_empty_at.get((producer.process, part.first), -1.0)
        if losses and emptied_at >= losses[-1]:
            losses.clear()  # something that leaves nothing was finished in between
        losses.append(self._loop.time())
        if self._scenario.waits_long and len(losses) > 2:
            self._checks["replay waits"] += 1
            shortest = sum(_SHORTEST_WAITS[: len(losses) - 2])
            if losses[-1] - losses[0] < shortest - _TICK_SECONDS:
                self._complain(f"{part.group}: replays at {losses}, sooner each time than promised")

    def _note_keyless(self, producer: "SimulatedProducer", target: TopicPartition) -> None:
        """Outputs without a key must go to another partition with each flush."""
        turns, partitions = self._keyless[producer.life, target.topic]
        turns.add(self._loop.turns)
        partitions.add(target.partition)
        if len(turns) >= _TURNS and self._scenario.partitions > 1:
            self._checks["keyless"] += 1
            if len(partitions) == 1:
                self._complain(f"{len(turns)} flushes without keys all went to {target}")

    def _is_keyless(self, part: Part) -> bool:
        stages = self._scenario.stages[part.first : part.last + 1]
        return stages[-1].is_keyless and all(s.last_word is not ErrorPolicy.SKIP for s in stages)
