"""A member of a consumer group that several readers share.

A client of Kafka is in one group, has connections of its own and costs CPU time at rest. So a
worker that hosts hundreds of small pipelines reads them with one client. Each reader has topics
that no other one reads, and gets a view that passes on calls and callbacks about these.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from streamapp.brokers.protocols import (
    Broker,
    CommittedOffset,
    Consumer,
    ConsumerConfig,
    RebalanceListener,
)
from streamapp.brokers.shared.together import Together
from streamapp.clock import Clock
from streamapp.errors import (
    BrokerError,
    CommitRefusedError,
    ConsumerEndedError,
    StreamappError,
)
from streamapp.record import TopicPartition

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Longest wait of one call for records; each counts as a poll of the group."""

ERROR_PAUSE_SECONDS = 1.0
"""Wait after a failed call, so that an outage is not met with calls without a pause."""


class Reader(Protocol):
    """A view as the member sees it."""

    config: ConsumerConfig
    listener: RebalanceListener
    left: int

    def wake(self) -> None:
        """End the wait of a fetch."""


class SharedMember:
    """One consumer, and the readers that share it.

    It is the listener of its consumer, and passes each assignment and revocation on to all readers
    at once, each with the partitions of its own topics. What is assigned of the topics of a reader
    that has stopped is paused: it stays uncommitted until somebody reads it again.

    Args:
        broker: makes the consumer.
        clock: the time.

    Attributes:
        commits: commits of all readers.
        ends: questions of all readers for the ends of logs.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._consumer: Consumer | None = None
        self._owners: dict[str, Reader] = {}
        self._readers: dict[Reader, None] = {}  # those that have started, in their order
        self._gone: set[Reader] = set()  # those that have stopped, or were never started
        self._assigned: frozenset[TopicPartition] | None = None
        self._changing = asyncio.Lock()  # held while the consumer starts or stops
        self._telling = asyncio.Lock()  # held while readers are told of a rebalance
        self._told: set[Reader] = set()  # of the present assignment
        self._callbacks: dict[Reader, asyncio.Task[None]] = {}
        self._attempts = 0
        self._failure: BrokerError | None = None  # of the last attempt to start
        self._runs = 0
        self._polling: asyncio.Task[None] | None = None
        self._poll_error: Exception | None = None
        self._starts_anew = False
        self.commits = Together(self._commit, clock)
        self.ends = Together(self._ends, clock)

    @property
    def is_running(self) -> bool:
        """Whether the consumer has been started, and not stopped."""
        return self._polling is not None

    def add(self, reader: Reader) -> None:
        """Read the topics of this reader, too.

        Either before the first one starts, or in the place of one that has left: it counts as the
        same one that comes back.

        Raises:
            BrokerError: another one reads one of them, or is in another group.
        """
        other = next(iter(self._owners.values()), reader)
        for topic in reader.config.topics:
            if (before := self._owners.get(topic)) in self._gone:
                reader.left = max(reader.left, before.left)
                self._own(before, ())
                self._gone.discard(before)
        if other.config.group != reader.config.group:
            raise BrokerError(
                f"a member of group {other.config.group!r} cannot read for {reader.config.group!r}"
            )
        self._own(reader, reader.config.topics)

    def subscribe(self, reader: Reader, topics: Collection[str]) -> None:
        """Read these topics for a reader from the next rebalance on, and no others."""
        self._own(reader, topics)
        if self._consumer is not None:
            self._consumer.subscribe(tuple(self._owners))

    def own(self, reader: Reader, names: Iterable[TopicPartition]) -> frozenset[TopicPartition]:
        """Those of the partitions that are of the topics of a reader."""
        return frozenset(name for name in names if self._owners.get(name.topic) is reader)

    def consumer_of(self, reader: Reader) -> Consumer:
        """The consumer, for a reader that has started.

        Raises:
            BrokerError: it is not running.
        """
        if self._polling is None or self._consumer is None or reader not in self._readers:
            raise BrokerError("this consumer is not running: start it before using it")
        return self._consumer

    def raise_poll_error(self) -> None:
        """Raise what has ended the polling: without it, no reader would be woken any more.

        Raises:
            Exception: what the consumer raised, and none of those that are tried again.
        """
        if self._poll_error is not None:
            raise self._poll_error

    async def join(self, reader: Reader) -> None:
        """Let a reader take part.

        The first one starts the consumer. One that comes back to the run that it has left has the
        consumer start anew, since it may be out of its group.

        Raises:
            BrokerError: the broker cannot be reached.
        """
        await self._start(reader)
        async with self._telling:
            if self._assigned is not None and reader in self._readers.keys() - self._told:
                if self._consumer is not None:
                    self._consumer.resume(*self.own(reader, self._assigned))
                await self._tell([reader], self._assigned, is_assigned=True)
                self._told.add(reader)

    async def keep_running(self, reader: Reader) -> None:
        """Start the consumer if an earlier attempt to start it anew has failed."""
        if self._polling is None and reader in self._readers:
            await self._start(reader)

    async def leave(self, reader: Reader) -> None:
        """Let a reader take part no more; with the last one, the consumer stops."""
        self._gone.add(reader)
        if reader not in self._readers:
            return
        del self._readers[reader]
        self._told.discard(reader)
        reader.left = self._runs
        if (callback := self._callbacks.get(reader)) is not None:
            callback.cancel()
            await asyncio.wait({callback})
        self._pause_unread()
        async with self._changing:
            if not self._readers:
                await self._stop()

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Have all readers give their partitions back, side by side."""
        async with self._telling:
            self.commits.hurries = True
            try:
                await self._tell(self._readers, partitions, is_assigned=False)
            finally:
                self.commits.hurries = False
                await self._forget_assignment()

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Have all readers take their partitions over."""
        async with self._telling:
            if self._starts_anew:
                return  # the consumer is about to stop, and all have given their partitions back
            self._assigned = partitions
            self._told = set(self._readers)
            self._pause_unread()
            await self._tell(self._readers, partitions, is_assigned=True)

    async def _start(self, reader: Reader) -> None:
        """Add a reader, and start the consumer if need be; those who wait share an outcome."""
        attempts = self._attempts
        async with self._changing:
            if attempts != self._attempts and self._failure is not None:
                raise self._failure
            if self._polling is not None and reader.left == self._runs:
                await self._end_run()
            if self._polling is None:
                await self._start_consumer()
            self._readers[reader] = None
            self._gone.discard(reader)

    async def _end_run(self) -> None:
        """Have all readers give their partitions back, and stop the consumer.

        A rebalance may end between the two. What it assigns is given back with the stop, so nobody
        is told of it: it would be drained and committed in the next run, as a member of another
        generation.
        """
        self._starts_anew = True
        try:
            await self.on_partitions_revoked(self._assigned or frozenset())
            await self._stop()
        finally:
            self._starts_anew = False

    async def _start_consumer(self) -> None:
        self._failure = None
        if self._consumer is None:
            self._consumer = self._broker.consumer(self._config(), self)
        self._consumer.subscribe(tuple(self._owners))
        try:
            await self._consumer.start()
        except BrokerError as error:
            self._failure = error
            raise
        finally:
            self._attempts += 1
        self._runs += 1
        self._poll_error = None
        self._polling = asyncio.create_task(self._poll(self._consumer), name="shared member")

    async def _stop(self) -> None:
        polling, self._polling = self._polling, None
        if polling is None or self._consumer is None:
            return
        if polling is not asyncio.current_task():
            polling.cancel()
            await asyncio.wait({polling})
        try:
            await self._consumer.stop()
        finally:
            await self._forget_assignment()
            await self.ends.give_up(BrokerError("the consumer was stopped"))

    async def _forget_assignment(self) -> None:
        """Forget it, and let no commit for it be made later."""
        self._assigned = None
        self._told.clear()
        await self.commits.give_up(
            CommitRefusedError("the partitions were given back before they were committed")
        )

    def _config(self) -> ConsumerConfig:
        """How the consumer reads: as the most demanding of its readers.

        Topics are only subscribed to: one that is gone must not keep the others from being read.
        """
        configs = [reader.config for reader in dict.fromkeys(self._owners.values())]
        return replace(
            configs[0],
            topics=(),
            max_prefetch_bytes=max(one.max_prefetch_bytes for one in configs),
            rebalance_timeout_seconds=max(one.rebalance_timeout_seconds for one in configs),
        )

    def _own(self, reader: Reader, topics: Collection[str]) -> None:
        """Note that these topics, and no others, are those of a reader."""
        for topic in topics:
            if self._owners.get(topic, reader) is not reader:
                raise BrokerError(
                    f"group {reader.config.group!r} has two readers of topic {topic!r}"
                )
        for topic in [name for name, owner in self._owners.items() if owner is reader]:
            del self._owners[topic]
        self._owners.update(dict.fromkeys(topics, reader))

    async def _poll(self, consumer: Consumer) -> None:
        """Poll until cancelled, and wake the readers of what has come."""
        while True:
            try:
                names = await consumer.wait_for_records(POLL_SECONDS)
            except ConsumerEndedError as error:
                log.warning("%s; all stages of this worker give their partitions up", error)
                await self._clock.sleep(ERROR_PAUSE_SECONDS)
                async with self._changing:
                    await self._end_run()  # the next fetch of a reader starts it anew
                self._wake_all()
                return
            except StreamappError as error:
                log.warning("waiting for records failed, trying again: %s", error)
                await self._clock.sleep(ERROR_PAUSE_SECONDS)
                names = consumer.assignment()  # of which something may have come meanwhile
            except Exception as error:  # noqa: BLE001 - every reader raises it
                self._poll_error = error
                self._wake_all()
                return
            for topic in dict.fromkeys(name.topic for name in names):
                if (owner := self._owners.get(topic)) is not None:
                    owner.wake()

    def _wake_all(self) -> None:
        for reader in self._readers:
            reader.wake()

    async def _tell(
        self, readers: Iterable[Reader], partitions: frozenset[TopicPartition], *, is_assigned: bool
    ) -> None:
        """Tell readers of their own among these partitions, side by side."""
        self._callbacks = {
            reader: asyncio.create_task(
                _call(reader, self.own(reader, partitions), is_assigned=is_assigned)
            )
            for reader in readers
        }
        if not self._callbacks:
            return
        try:
            await asyncio.wait(self._callbacks.values())
        finally:
            for reader, task in self._callbacks.items():
                task.cancel()
                reader.wake()  # what it fetches is another matter now
            self._callbacks = {}

    def _pause_unread(self) -> None:
        """Fetch nothing of the topics of those who take no part."""
        unread = [
            name
            for name in self._assigned or ()
            if self._owners.get(name.topic) not in self._readers
        ]
        if unread and self._consumer is not None:
            with suppress(BrokerError):  # given back meanwhile
                self._consumer.pause(*unread)

    async def _commit(
        self, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> Mapping[TopicPartition, None]:
        assert self._consumer is not None  # noqa: S101 - readers that have started commit
        await self._consumer.commit(offsets)
        return {}

    async def _ends(self, names: Mapping[TopicPartition, None]) -> Mapping[TopicPartition, int]:
        assert self._consumer is not None  # noqa: S101 - readers that have started ask
        return await self._consumer.end_offsets(list(names))


async def _call(
    reader: Reader, partitions: frozenset[TopicPartition], *, is_assigned: bool
) -> None:
    """Call the listener of a reader; as any consumer does, log what it raises."""
    listener = reader.listener
    try:
        if is_assigned:
            await listener.on_partitions_assigned(partitions)
        else:
            await listener.on_partitions_revoked(partitions)
    except Exception:
        log.exception("a rebalance listener of group %s failed", reader.config.group)
