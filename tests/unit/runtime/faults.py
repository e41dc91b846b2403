"""A memory broker whose batches and starts fail on demand, and services that run on it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.memory.producer import MemoryProducer
from streamapp.brokers.protocols import (
    BatchBuilder,
    CommittedOffset,
    ConsumerConfig,
    FetchedRecords,
    Producer,
    ProducerConfig,
    RebalanceListener,
    TopicSpec,
)
from streamapp.clock import Clock, SystemClock
from streamapp.errors import BatchRefusedError, BrokerError
from streamapp.record import Headers, Record, TopicPartition
from streamapp.service import Service
from tests.patience import eventually, within

PATIENCE_SECONDS = 10.0


class FaultyBroker(MemoryBroker):
    """Attributes:
    fail_batches: how many of the next batches for a topic fail; each fault that fires is counted.
    refused: values that the broker refuses in a topic, with the batch that has one of them.
    is_certain: whether it says so for certain.
    failing: output partitions whose batches fail.
    failed_at: monotonic seconds of each batch that failed.
    producers_made: how many producers the service asked for.
    producers_refused: producers cannot start while it is set.
    refused_at: monotonic seconds of each start of a producer that was refused.
    producers_running: producers that were started and not stopped.
    producers_stop: whether producers end when they are asked to; else that waits for ever.
    commits_refused, commits_unanswered: commits fail, or wait for ever, while it is set.
    consumers_asked: what the service asked of each consumer that it made.
    starts_refused: consumers cannot start while it is set.
    joins_unanswered: the group does not answer a consumer that was started while it is set.
    started_at: monotonic seconds of each time that a consumer was started, or could not.
    assign_seconds: how long consumers have an assignment before they tell of it.
    fetch_errors: what the next fetches raise.
    fetched_at: monotonic seconds of each fetch and poll.
    stops_unanswered: the ends of consumers wait for ever while it is set.
    ends_refused, ends_unanswered: the same for questions of consumers about the ends of partitions.
    counts_refused: questions about the partitions of topics fail while it is set.
    counts_asked: how many such questions there were.
    held: batches for a topic wait for its event before they are written.
    unanswered: acknowledgements of batches for these topics never come.
    answers: those acknowledgements that do not come.
    fired: faults that happened, by what they hit.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        super().__init__(self.clock)
        self.fail_batches: Counter[str] = Counter()
        self.refused: set[tuple[str, bytes | None]] = set()
        self.is_certain = True
        self.failing: set[TopicPartition] = set()
        self.failed_at: list[float] = []
        self.producers_made = 0
        self.producers_refused = False
        self.refused_at: list[float] = []
        self.producers_running = 0
        self.producers_stop = True
        self.commits_refused = False
        self.commits_unanswered = False
        self.consumers_asked: list[ConsumerConfig] = []
        self.starts_refused = False
        self.joins_unanswered = False
        self.started_at: list[float] = []
        self.assign_seconds = 0.0
        self.fetch_errors: list[BrokerError] = []
        self.fetched_at: list[float] = []
        self.stops_unanswered = False
        self.ends_refused = False
        self.ends_unanswered = False
        self.counts_refused = False
        self.counts_asked = 0
        self.held: dict[str, asyncio.Event] = {}
        self.unanswered: set[str] = set()
        self.answers: list[asyncio.Future[object]] = []
        self.fired: Counter[str] = Counter()

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> MemoryConsumer:
        consumer = super().consumer(config, _LateListener(listener, self))
        self.consumers_asked.append(config)
        self._let_joins_and_fetches_fail(consumer)
        stored, ended, asked = consumer.commit, consumer.stop, consumer.end_offsets

        async def commit(offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
            if self.commits_refused:
                self.fired["commit"] += 1
                raise BrokerError("no commits for now")
            await _never_if(self.commits_unanswered)
            await stored(offsets)

        async def stop() -> None:
            if self.stops_unanswered:
                self.fired["stop"] += 1
                await asyncio.Event().wait()
            await ended()

        async def end_offsets(
            partitions: Collection[TopicPartition],
        ) -> Mapping[TopicPartition, int]:
            if self.ends_refused:
                raise BrokerError("no offsets for now")
            await _never_if(self.ends_unanswered)
            return await asked(partitions)

        consumer.end_offsets = end_offsets  # type: ignore[method-assign]  # a fault of this one member
        consumer.stop = stop  # type: ignore[method-assign]  # a fault of this one member
        consumer.commit = commit  # type: ignore[method-assign]  # a fault of this one member
        return consumer

    def _let_joins_and_fetches_fail(self, consumer: MemoryConsumer) -> None:
        joined, fetched = consumer.start, consumer.fetch
        kept = consumer._keep_membership

        async def keep_membership() -> None:
            await _never_if(self.joins_unanswered)
            await kept()

        async def start() -> None:
            self.started_at.append(self.clock.monotonic())
            if self.starts_refused:
                raise BrokerError("no group for now")
            await joined()

        async def fetch(
            partitions: Collection[TopicPartition], *, max_records: int, timeout_seconds: float
        ) -> Mapping[TopicPartition, FetchedRecords]:
            self.fetched_at.append(self.clock.monotonic())
            if partitions and self.fetch_errors:
                raise self.fetch_errors.pop(0)
            return await fetched(
                partitions, max_records=max_records, timeout_seconds=timeout_seconds
            )

        consumer.fetch = fetch  # type: ignore[method-assign]  # a fault of this one member
        consumer._keep_membership = keep_membership  # type: ignore[method-assign]  # the same
        consumer.start = start  # type: ignore[method-assign]  # a fault of this one member

    def producer(self, config: ProducerConfig) -> MemoryProducer:
        self.producers_made += 1
        return _FaultyProducer(super().producer(config), self)  # type: ignore[return-value]  # it wraps one

    def admin(self) -> MemoryAdmin:
        admin = super().admin()
        counted = admin.partition_counts

        async def partition_counts(names: Collection[str]) -> Mapping[str, int]:
            self.counts_asked += 1
            if self.counts_refused:
                raise BrokerError("no topics for now")
            return await counted(names)

        admin.partition_counts = partition_counts  # type: ignore[method-assign]  # a fault of this one client
        return admin

    def notice_topics_after(self, seconds: float) -> None:
        """Let groups notice only after so long that topics have come, gone or grown."""
        self._groups.notice_seconds = seconds

    async def create(self, *names: str, **config: str) -> None:
        kafka_names = {key.replace("_", "."): value for key, value in config.items()}
        await self.admin().create_topics([TopicSpec(name, 1, config=kafka_names) for name in names])

    async def write(
        self,
        topic: str,
        *pairs: tuple[bytes | None, bytes | None],
        partition: int = 0,
        headers: Headers = (),
        timestamp: int | None = None,
    ) -> None:
        """Write records of key and value; of this moment, if no timestamp is given."""
        producer = super().producer(ProducerConfig())
        await producer.start()
        batch = producer.create_batch()
        for key, value in pairs:
            appended = batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
            assert appended is not None
        await (await producer.send_batch(batch, topic, partition))
        await producer.stop()

    def leave_gap(self, topic: str, offsets: int, partition: int = 0) -> None:
        """Leave so many offsets without a record, as a transaction does."""
        self._topics.log(TopicPartition(topic, partition)).skip_offsets(offsets)

    def records(self, topic: str, partition: int = 0) -> Sequence[Record]:
        log = self._topics.log(TopicPartition(topic, partition))
        return log.read(log.start_offset, len(log))[0]

    def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        return [record.value for record in self.records(topic, partition)]

    def members(self, group: str) -> int:
        """How many members a group has."""
        found = self._groups.find(group)
        return 0 if found is None else found.member_count

    async def committed(self, group: str) -> int:
        offsets = await self.admin().committed_offsets(group)
        return sum(offset.offset for offset in offsets.values())


class _LateListener:
    """Hears of an assignment some time after the consumer has it."""

    def __init__(self, listener: RebalanceListener, broker: FaultyBroker) -> None:
        self._broker = broker
        self._listener = listener
        self.on_partitions_revoked = listener.on_partitions_revoked

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        if self._broker.assign_seconds:
            await asyncio.sleep(self._broker.assign_seconds)
        await self._listener.on_partitions_assigned(partitions)


async def _never_if(unanswered: bool) -> None:
    """Wait for ever where there is no answer."""
    if unanswered:
        await asyncio.Event().wait()


class _FaultyProducer:
    def __init__(self, inner: Producer, broker: FaultyBroker) -> None:
        self._inner = inner
        self._broker = broker
        self.create_batch = inner.create_batch
        self.partition_count = inner.partition_count
        if isinstance(inner, MemoryProducer):  # transactions are written whole, without faults
            self.append_all = inner.append_all

    async def start(self) -> None:
        if self._broker.producers_refused:
            self._broker.fired["start"] += 1
            self._broker.refused_at.append(self._broker.clock.monotonic())
            raise BrokerError("no producer for now")
        await self._inner.start()
        self._broker.producers_running += 1

    async def stop(self) -> None:
        if not self._broker.producers_stop:
            self._broker.fired["producer stop"] += 1
            await asyncio.Event().wait()
        await self._inner.stop()
        self._broker.producers_running -= 1

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        if topic in self._broker.held:
            self._broker.fired["held"] += 1
            await self._broker.held[topic].wait()
        if self._broker.fail_batches[topic] or (topic, partition) in self._broker.failing:
            self._broker.fail_batches[topic] -= bool(self._broker.fail_batches[topic])
            self._broker.fired[topic] += 1
            self._broker.failed_at.append(self._broker.clock.monotonic())
            failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            failed.set_exception(BrokerError("this batch was made to fail"))
            return failed
        assert isinstance(batch, MemoryBatch)
        if any((topic, value) in self._broker.refused for _, _, value, _ in batch.entries):
            self._broker.fired["refused"] += 1
            refused: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            refused.set_exception(BatchRefusedError("no", is_certain=self._broker.is_certain))
            return refused
        answer = await self._inner.send_batch(batch, topic, partition)
        if topic not in self._broker.unanswered:
            return answer
        await answer
        self._broker.answers.append(asyncio.get_running_loop().create_future())
        return self._broker.answers[-1]


async def until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for it with a deadline."""
    await eventually(condition, seconds=seconds, pause_seconds=0.005)


async def until_committed(broker: FaultyBroker, group: str, offset: int) -> None:
    found: list[int] = []
    async with within(PATIENCE_SECONDS, f"{group} to commit {offset}", lambda: found[-1:]):
        while (committed := await broker.committed(group)) != offset:
            found.append(committed)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a service in the block; it must end well, and soon after it was stopped."""
    task = asyncio.create_task(service.run())
    try:
        yield task
        service.stop()
        async with within(PATIENCE_SECONDS, "the service to stop", lambda: service.metrics):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
