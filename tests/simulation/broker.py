"""The memory broker behind connections that fail."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.batch import Entry, MemoryBatch
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.memory.group import Group
from streamapp.brokers.memory.log import PartitionLog
from streamapp.brokers.memory.partition_reader import MemoryPartitionReader
from streamapp.brokers.protocols import (
    CommittedOffset,
    ConsumerConfig,
    ProducerConfig,
    RebalanceListener,
    TopicDescription,
)
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition
from tests.simulation.consumer import SimulatedConsumer
from tests.simulation.dice import Trace
from tests.simulation.faults import Fault
from tests.simulation.network import Line, World
from tests.simulation.producer import SimulatedProducer
from tests.simulation.share import Share

if TYPE_CHECKING:
    from tests.simulation.checker import Checker

_MAX_GAP_OFFSETS = 3


class SimulatedBroker(MemoryBroker):
    """Logs and groups of the memory broker; the checker is told of every change.

    Attributes:
        checker: told of every write, commit and fetch.
        bundle: the bundle that all segments are in; `None` if each has a group of its own.
    """

    checker: "Checker"
    bundle: str | None = None

    def __init__(self, world: World, clock: Clock, trace: Trace) -> None:
        super().__init__(clock)
        self.world = world
        self.clock = clock
        self.trace = trace

    def append(self, target: TopicPartition, batch: MemoryBatch) -> int:
        """Append a batch of a producer to its log."""
        return self.put(target, batch.entries)

    def put(self, target: TopicPartition, entries: Sequence[Entry]) -> int:
        """Write input records, sometimes with a gap behind them."""
        log = self._topics.log(target)
        base = log.append(entries)
        self.trace(f"write {target.topic}[{target.partition}] {base}+{len(entries)}")
        self.checker.written(target, log.read(base, len(entries))[0])
        if self.world.dice.strikes(Fault.GAP):
            log.skip_offsets(1 + int(self.world.dice.seconds(_MAX_GAP_OFFSETS)))
        return base

    def log(self, target: TopicPartition) -> PartitionLog:
        return self._topics.log(target)

    def has(self, topic: str) -> bool:
        """Whether there is such a topic."""
        return self._topics.find(topic) is not None

    def group(self, name: str) -> Group:
        """The group of a segment: its own, or that of the bundle that all are in."""
        return self._groups.get(self.bundle or name)

    def shares_of(self, consumer: SimulatedConsumer) -> Iterator[Share]:
        """What a member reads: for one segment, or for each of a bundle."""
        if self.bundle is None:
            yield Share(consumer, consumer.group, None)
            return
        for part in self.checker.parts:
            yield Share(consumer, part.group, part.reads)

    def refuses(self, topic: str) -> bool:
        """Whether this topic refuses all records now."""
        world = self.world
        return topic.endswith(".dlq") and world.loop.time() < world.letters_refused_until

    def for_process(
        self, line: Line, session_seconds: float, *, may_stop_on_loss: bool
    ) -> "ProcessBroker":
        return ProcessBroker(self, line, session_seconds, may_stop_on_loss=may_stop_on_loss)


class ProcessBroker:
    """The broker as one process sees it, from a start of its service to the end of it.

    Attributes:
        line: the connections of the process.
        may_stop_on_loss: whether one of its stages may stop because its position was lost.
        compression: how its producers compress batches: not at all.
    """

    compression = None

    def __init__(
        self,
        broker: SimulatedBroker,
        line: Line,
        session_seconds: float,
        *,
        may_stop_on_loss: bool,
    ) -> None:
        self.line = line
        self.may_stop_on_loss = may_stop_on_loss
        self._broker = broker
        self._session_seconds = session_seconds

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> SimulatedConsumer:
        config = replace(config, session_timeout_seconds=self._session_seconds)
        return SimulatedConsumer(self._broker, config, listener, self)

    def producer(self, config: ProducerConfig) -> SimulatedProducer:
        inner = MemoryBroker.producer(self._broker, config)
        return SimulatedProducer(self._broker, inner, self)

    def partition_reader(self, max_prefetch_bytes: int = 0) -> MemoryPartitionReader:
        return self._broker.partition_reader(max_prefetch_bytes)

    def admin(self) -> "SimulatedAdmin":
        return SimulatedAdmin(
            self._broker._topics, self._broker._groups, self._broker.network, self.line
        )


class SimulatedAdmin(MemoryAdmin):
    """An admin client behind a connection that fails."""

    def __init__(self, topics: object, groups: object, network: object, line: Line) -> None:
        super().__init__(topics, groups, network)  # type: ignore[arg-type]  # passed on as they are
        self._line = line

    async def start(self) -> None:
        await self._line.pass_over()

    async def list_topics(self) -> frozenset[str]:
        await self._ask()
        return await super().list_topics()

    async def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        await self._ask()
        return await super().describe_topics(sorted(names))

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        await self._line.pass_over()
        return await super().partition_counts(sorted(names))

    async def committed_offsets(self, group: str) -> Mapping[TopicPartition, CommittedOffset]:
        await self._ask()
        return await super().committed_offsets(group)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._ask()
        return await super().end_offsets(partitions)

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._ask()
        return await super().beginning_offsets(partitions)

    async def _ask(self) -> None:
        await self._line.pass_over()
        if self._line.world.dice.strikes(Fault.OFFSETS_FAILED):
            raise BrokerError("no answer for now")
