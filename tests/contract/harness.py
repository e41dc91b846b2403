"""The broker under test, with short helpers that all contract tests use."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from streamapp.brokers.protocols import (
    Admin,
    Consumer,
    ConsumerConfig,
    Producer,
    ProducerConfig,
    ReadingBroker,
    TopicSpec,
    TransactionalBroker,
)
from streamapp.record import Headers, Record, TopicPartition
from tests.kafka import unique_name
from tests.patience import eventually, within

PATIENCE_SECONDS = 15.0
SESSION_SECONDS = 6.0  # the least that a broker with default settings grants


@dataclass(frozen=True, slots=True)
class Subject:
    """A broker under test.

    Attributes:
        broker: the broker.
        unreachable: a broker of the same kind that refuses connections.
        unreachable_address: address that its errors must name.
        open_gap: leave offsets out at the end of a partition, as an aborted transaction does.
        put_unreadable: write a record that no consumer can parse.
        compressing: the same broker, whose producers compress with a codec from now on; in a thread
            of their own, if that is asked for and the broker has it.
    """

    broker: TransactionalBroker
    unreachable: ReadingBroker
    unreachable_address: str
    open_gap: Callable[[TopicPartition], Awaitable[None]]
    put_unreadable: Callable[[TopicPartition], Awaitable[None]]
    compressing: Callable[..., TransactionalBroker]

    async def topic(self, partitions: int = 1, **config: str) -> str:
        """A new topic; configuration by Kafka's names with underscores."""
        name = unique_name("contract")
        # Tests write old timestamps: retention would delete such records while they run.
        kafka_names = {"retention.ms": "-1"}
        kafka_names |= {key.replace("_", "."): value for key, value in config.items()}
        async with self.admin() as admin:
            await admin.create_topics([TopicSpec(name, partitions, config=kafka_names)])
        return name

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        admin = self.broker.admin()
        await admin.start()
        try:
            yield admin
        finally:
            await admin.stop()

    @asynccontextmanager
    async def producer(self, config: ProducerConfig | None = None) -> AsyncIterator[Producer]:
        producer = self.broker.producer(config or ProducerConfig())
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def member(
        self, config: ConsumerConfig, listener: "Listener | None" = None
    ) -> AsyncIterator[Consumer]:
        consumer = self.broker.consumer(config, listener or Listener())
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def write(self, topic: str, values: Iterable[bytes], partition: int = 0) -> None:
        """Write values as one batch."""
        async with self.producer() as producer:
            await send(producer, topic, values, partition)


@dataclass(slots=True)
class Listener:
    """Records rebalance callbacks; `revoking` and `assigning` run inside them."""

    calls: list[tuple[str, frozenset[TopicPartition]]] = field(default_factory=list)
    revoking: Callable[[frozenset[TopicPartition]], Awaitable[None]] | None = None
    assigning: Callable[[frozenset[TopicPartition]], Awaitable[None]] | None = None

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("revoked", partitions))
        if self.revoking:
            await self.revoking(partitions)

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("assigned", partitions))
        if self.assigning:
            await self.assigning(partitions)


def group_of(topic: str, **options: object) -> ConsumerConfig:
    """A new group that reads the topic."""
    values = {"session_timeout_seconds": SESSION_SECONDS, **options}
    return ConsumerConfig(group=unique_name("group"), topics=(topic,), **values)  # type: ignore[arg-type]  # the test names fields of the class


def places(topic: str, partitions: int) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(topic, number) for number in range(partitions))


async def send(
    producer: Producer,
    topic: str,
    values: Iterable[bytes | None],
    partition: int = 0,
    *,
    key: bytes | None = None,
    headers: Headers = (),
) -> object:
    batch = producer.create_batch()
    for value in values:
        assert batch.append(timestamp=None, key=key, value=value, headers=headers) is not None
    return await (await producer.send_batch(batch, topic, partition))


async def until(condition: Callable[[], bool], *polling: Consumer) -> None:
    """Wait for it with a deadline, while these consumers poll without taking anything."""

    async def poll() -> None:
        while True:
            for consumer in polling:
                await consumer.fetch((), max_records=1, timeout_seconds=0)
            await asyncio.sleep(0.01)

    polls = asyncio.create_task(poll())
    try:
        await eventually(condition, seconds=PATIENCE_SECONDS)
    finally:
        polls.cancel()
        await asyncio.wait({polls})
    if not polls.cancelled():
        polls.result()


async def assigned(consumer: Consumer, partitions: Collection[TopicPartition]) -> None:
    await until(lambda: consumer.assignment() == frozenset(partitions), consumer)


async def read(
    consumer: Consumer, count: int, partitions: Collection[TopicPartition] | None = None
) -> dict[TopicPartition, list[Record]]:
    """Read `count` records of these partitions, or of all assigned ones."""
    found: dict[TopicPartition, list[Record]] = defaultdict(list)
    async with within(PATIENCE_SECONDS, f"{count} records", lambda: dict(found)):
        while sum(map(len, found.values())) < count:
            wanted = consumer.assignment() if partitions is None else partitions
            fetched = await consumer.fetch(wanted, max_records=count, timeout_seconds=0.2)
            for partition, records in fetched.items():
                found[TopicPartition(*partition)].extend(records)
    return found


async def read_values(
    consumer: Consumer, count: int, partitions: Collection[TopicPartition] | None = None
) -> list[bytes | None]:
    found = await read(consumer, count, partitions)
    return [record.value for records in found.values() for record in records]


async def fetch_until_error(consumer: Consumer, place: TopicPartition) -> None:
    """Fetch until the consumer raises; nothing may come before."""
    async with within(PATIENCE_SECONDS, f"an error of {place}"):
        while True:
            assert not await consumer.fetch([place], max_records=9, timeout_seconds=0.1)


def numbered(count: int, start: int = 0) -> Sequence[bytes]:
    return [b"%d" % number for number in range(start, start + count)]
