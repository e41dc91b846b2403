"""What only the memory broker can show: time turned by hand, seeds, members that die."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.memory.group import Group
from streamapp.brokers.memory.topics import TopicStore
from streamapp.brokers.protocols import (
    CommittedOffset,
    ConsumerConfig,
    ProducerConfig,
    TopicSpec,
)
from streamapp.errors import CommitRefusedError
from streamapp.record import TopicPartition
from tests.unit.brokers.manual_clock import ManualClock

TOPIC = "t"
ZERO, ONE = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
BOTH = frozenset({ZERO, ONE})
CONFIG = ConsumerConfig("g", (TOPIC,), session_timeout_seconds=10, rebalance_timeout_seconds=30)


@dataclass(slots=True)
class Silent:
    calls: list[frozenset[TopicPartition]] = field(default_factory=list)

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(partitions)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def make_broker(clock: ManualClock, **options: float | None) -> MemoryBroker:
    broker = MemoryBroker(clock, **options)  # type: ignore[arg-type]  # the test names keywords
    await broker.admin().create_topics([TopicSpec(TOPIC, 2)])
    return broker


@asynccontextmanager
async def member(
    broker: MemoryBroker, clock: ManualClock, config: ConsumerConfig = CONFIG
) -> AsyncIterator[MemoryConsumer]:
    consumer = broker.consumer(config, Silent())
    await consumer.start()
    await clock.settle()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def write(broker: MemoryBroker, count: int, partition: int = 0, *, batches: int = 1) -> None:
    producer = broker.producer(ProducerConfig())
    await producer.start()
    for _ in range(batches):
        batch = producer.create_batch()
        for _ in range(count):
            batch.append(timestamp=None, key=None, value=b"v")
        await (await producer.send_batch(batch, TOPIC, partition))


async def offsets(consumer: MemoryConsumer, max_records: int = 10_000) -> list[int]:
    found = await consumer.fetch(consumer.assignment(), max_records=max_records, timeout_seconds=0)
    return [record.offset for records in found.values() for record in records]


async def test_the_session_of_a_member_that_died_expires(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock) as survivor, member(broker, clock) as dead:
        assert len(survivor.assignment()) == len(dead.assignment()) == 1
        await dead.kill()
        await clock.advance(9)
        assert len(survivor.assignment()) == 1
        await clock.advance(5)
        assert survivor.assignment() == BOTH


async def test_a_member_that_lives_is_not_evicted_however_long(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock) as one, member(broker, clock) as two:
        for _ in range(20):
            await clock.advance(100)
            for consumer in (one, two):
                await consumer.fetch((), max_records=1, timeout_seconds=0)
        assert one.assignment() | two.assignment() == BOTH
        assert len(one.assignment()) == 1


async def test_a_process_that_was_blocked_for_a_session_is_evicted_and_comes_back(
    clock: ManualClock,
) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock) as consumer:
        await write(broker, 3)
        assert await offsets(consumer) == [0, 1, 2]
        clock._now += 60  # nothing ran in between
        await clock.advance(1)
        await clock.advance(10)
        assert consumer.assignment() == BOTH
        assert await offsets(consumer) == [0, 1, 2]  # nothing was committed


async def test_a_member_that_does_not_poll_leaves_and_its_commit_is_refused(
    clock: ManualClock,
) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock) as polling, member(broker, clock) as silent:
        (held,) = silent.assignment()
        for _ in range(32):
            await polling.fetch((), max_records=1, timeout_seconds=0)
            await clock.advance(10)
        assert polling.assignment() == BOTH
        with pytest.raises(CommitRefusedError):
            await silent.commit({held: CommittedOffset(1)})
        await silent.fetch((), max_records=1, timeout_seconds=0)
        await clock.advance(1)
        assert len(silent.assignment()) == 1


async def test_a_waiting_fetch_ends_by_the_clock(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock) as consumer:
        fetching = asyncio.create_task(consumer.fetch(BOTH, max_records=1, timeout_seconds=5))
        await clock.advance(4.9)
        assert not fetching.done()
        await clock.advance(0.2)
        assert await fetching == {}


async def test_timestamps_come_from_the_clock(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    await write(broker, 1)
    async with member(broker, clock) as consumer:
        found = await consumer.fetch([ZERO], max_records=1, timeout_seconds=0)
    assert found[ZERO][0].timestamp == int(clock.time() * 1000)


async def test_gaps_repeat_with_the_seed(clock: ManualClock) -> None:
    async def run(seed: int) -> list[int]:
        broker = await make_broker(clock, seed=seed, gap_probability=0.3)
        await write(broker, 2, batches=50)
        async with member(broker, clock) as consumer:
            return await offsets(consumer)

    first = await run(1)
    assert first == await run(1)
    assert first != await run(2)
    assert len(first) == 100
    assert first[-1] > 100


def flap(consumer: MemoryConsumer) -> None:
    consumer.pause(ZERO)
    consumer.resume(ZERO)


def seek(consumer: MemoryConsumer) -> None:
    consumer.seek(ZERO, 1)


@pytest.mark.parametrize("drop_prefetched", [flap, seek])
async def test_a_partition_whose_prefetch_was_dropped_comes_behind_the_others(
    clock: ManualClock, drop_prefetched: Callable[[MemoryConsumer], None]
) -> None:
    broker = await make_broker(clock)
    await write(broker, 3, partition=0)
    await write(broker, 3, partition=1)
    async with member(broker, clock) as consumer:
        drop_prefetched(consumer)
        first = await consumer.fetch(BOTH, max_records=9, timeout_seconds=0)
        assert set(first) == {ONE}
        second = await consumer.fetch(BOTH, max_records=9, timeout_seconds=0)
        assert set(second) == {ZERO}


async def test_no_partition_starves_behind_a_full_one(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    await write(broker, 100, partition=0)
    await write(broker, 100, partition=1)
    async with member(broker, clock) as consumer:
        first = await consumer.fetch(BOTH, max_records=10, timeout_seconds=0)
        second = await consumer.fetch(BOTH, max_records=10, timeout_seconds=0)
    assert set(first) | set(second) == BOTH


async def test_retention_keeps_what_a_group_has_yet_to_finish(clock: ManualClock) -> None:
    broker = await make_broker(clock, retention_records=10)
    admin = broker.admin()
    async with member(broker, clock) as consumer:
        await write(broker, 10, batches=10)
        assert await admin.beginning_offsets([ZERO]) == {ZERO: 0}
        assert len(await offsets(consumer)) == 100
        await consumer.commit({ZERO: CommittedOffset(60)})
        await write(broker, 1)
        assert await admin.beginning_offsets([ZERO]) == {ZERO: 60}
        await consumer.commit({ZERO: CommittedOffset(101)})
        await write(broker, 1)
        assert await admin.beginning_offsets([ZERO]) == {ZERO: 92}


async def test_a_topic_that_nobody_reads_stays_flat(clock: ManualClock) -> None:
    broker = await make_broker(clock, retention_records=10)
    await write(broker, 10, batches=100)
    start = (await broker.admin().beginning_offsets([ZERO]))[ZERO]
    assert 1000 - start <= 20


async def test_added_partitions_are_dealt_out(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock) as consumer:
        await broker.admin().add_partitions(TOPIC, 3)
        await clock.settle()
        assert consumer.assignment() == BOTH | {TopicPartition(TOPIC, 2)}


async def test_nothing_runs_on_after_the_last_stop(clock: ManualClock) -> None:
    broker = await make_broker(clock)
    async with member(broker, clock), member(broker, clock):
        pass
    await clock.settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_commit_of_an_older_generation_is_refused(clock: ManualClock) -> None:
    topics = TopicStore()
    topics.create(TopicSpec(TOPIC, 2))
    group = Group("g", topics, clock)
    first = await group.join(None, CONFIG, lambda: None)
    group.commit(first, {ZERO: CommittedOffset(1)})
    again = await group.join(first.member_id, CONFIG, lambda: None)
    with pytest.raises(CommitRefusedError):
        group.commit(first, {ZERO: CommittedOffset(2)})
    group.commit(again, {ZERO: CommittedOffset(3)})
    assert group.commits == {ZERO: CommittedOffset(3)}
    group.leave(again.member_id)
