"""Where every event of the demo ended, read from the topics and not from the counters."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from streamapp.beside import beside
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.cli.demo_outage import Outage
from streamapp.examples.playback.generator import EXPECTED_DEAD_LETTERS, EventKind
from streamapp.examples.playback.pipeline import ALERTS, SCORED, SOURCE
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.pipeline.topology import Topology
from streamapp.record import ERROR_HEADERS, Record, TopicPartition

DeadLetterKind = tuple[str, DeadLetterReason]
"""Stage and reason."""


class Accounts:
    """Compares what was generated with what is in the topics.

    Args:
        broker: has the topics; its logs have no gaps.
        topology: the pipeline.

    Attributes:
        generated: number of events written to the source.
        kinds: number of these events by kind.
        dead_letters: number of dead letters by stage and reason, from their headers.
        records_in, scored, alerts: number of records written to the source and to each sink.
        seconds: time from the first event until the last event ended.
        outage: the outage that was shown, if any.
    """

    def __init__(self, broker: MemoryBroker, topology: Topology) -> None:
        self._admin = broker.admin()
        self._topology = topology
        steps = [step for segment in topology.segments for step in segment.steps]
        self._dead_letter_topics = tuple(step.dead_letters for step in steps)
        self._consumer = broker.consumer(
            ConsumerConfig("demo.dead-letters", self._dead_letter_topics), _Listener()
        )
        self._has_read = asyncio.Event()
        self._partitions: dict[str, list[TopicPartition]] = {}
        self.stages = len(steps)
        self.generated = 0
        self.kinds: Counter[EventKind] = Counter()
        self.dead_letters: Counter[DeadLetterKind] = Counter()
        self.records_in = self.scored = self.alerts = 0
        self.seconds = 0.0
        self.outage: Outage | None = None

    @property
    def expected_dead_letters(self) -> Counter[DeadLetterKind]:
        """Number of dead letters that the generated events should cause, by stage and reason."""
        expected: Counter[DeadLetterKind] = Counter()
        for kind, count in self.kinds.items():
            if kind in EXPECTED_DEAD_LETTERS:
                expected[EXPECTED_DEAD_LETTERS[kind]] += count
        return expected

    @property
    def complete(self) -> bool:
        """Whether every event ended once, and exactly the expected events became dead letters."""
        return (
            self.generated == self.records_in == self.scored + self.dead_letters.total()
            and self.dead_letters == self.expected_dead_letters
        )

    def add_generated(self, kinds: Iterable[EventKind]) -> None:
        """Count events that were written to the source."""
        before = self.kinds.total()
        self.kinds.update(kinds)
        self.generated += self.kinds.total() - before

    async def ended(self) -> int:
        """Number of events that were scored or became dead letters."""
        return sum([await self._written(t) for t in (SCORED.name, *self._dead_letter_topics)])

    async def all_finished(self) -> bool:
        """Whether nothing is in flight any more, even if an event is missing."""
        if await self.ended() >= self.generated:
            return True
        for segment in self._topology.segments:
            committed = await self._admin.committed_offsets(segment.group)
            for topic in segment.source_topics:
                ends = await self._admin.end_offsets(await self._partitions_of(topic))
                if any(end > _offset(committed.get(name)) for name, end in ends.items()):
                    return False
        return True

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        """Read and count dead letters while the block runs."""
        await self._consumer.start()
        try:
            async with beside(self._read()):
                yield
        finally:
            await self._consumer.stop()

    async def close(self) -> None:
        """Take the final figures. Call it inside `counting`, when the pipeline has ended."""
        letters = sum([await self._written(topic) for topic in self._dead_letter_topics])
        while self.dead_letters.total() < letters:
            self._has_read.clear()
            await self._has_read.wait()
        self.records_in = await self._written(SOURCE.name)
        self.scored = await self._written(SCORED.name)
        self.alerts = await self._written(ALERTS.name)

    async def _written(self, topic: str) -> int:
        """Number of records ever written to a topic; retention does not change it."""
        return sum((await self._admin.end_offsets(await self._partitions_of(topic))).values())

    async def _partitions_of(self, topic: str) -> list[TopicPartition]:
        if topic not in self._partitions:
            described = await self._admin.describe_topics([topic])
            self._partitions[topic] = [
                TopicPartition(topic, i) for i in range(described[topic].partitions)
            ]
        return self._partitions[topic]

    async def _read(self) -> None:
        while True:
            batches = await self._consumer.fetch(
                self._consumer.assignment(), max_records=1_000, timeout_seconds=0.1
            )
            for name, records in batches.items():
                self.dead_letters.update(_kind(record) for record in records)
                # Retention keeps records that a group has not committed, so commit what was read.
                await self._consumer.commit({name: CommittedOffset(records[-1].offset + 1)})
            self._has_read.set()


class _Listener:
    """Ignores rebalances: the group has one member, which keeps its partitions."""

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing to finish."""

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing to open."""


def _kind(record: Record) -> DeadLetterKind:
    headers = {
        name: value.decode() for name, value in record.headers if name.startswith(ERROR_HEADERS)
    }
    return headers[f"{ERROR_HEADERS}stage"], DeadLetterReason(headers[f"{ERROR_HEADERS}reason"])


def _offset(committed: CommittedOffset | None) -> int:
    return 0 if committed is None else committed.offset
