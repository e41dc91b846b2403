"""A group member that reads from the memory broker.

Hot path: `fetch` takes one slice of a list for each partition; no code runs for each record.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.memory.group import Group, Membership
from streamapp.brokers.memory.log import PartitionLog
from streamapp.brokers.memory.network import Network
from streamapp.brokers.memory.reading import read_records
from streamapp.brokers.memory.topics import TopicStore
from streamapp.brokers.protocols import (
    CommittedOffset,
    ConsumerConfig,
    FetchedRecords,
    RebalanceListener,
)
from streamapp.clock import Clock
from streamapp.errors import (
    BrokerError,
    CommitRefusedError,
    OffsetOutOfRangeError,
    UnreadableRecordError,
)
from streamapp.record import TopicPartition

_logger = logging.getLogger(__name__)


class MemoryConsumer:
    """A member of a consumer group of the memory broker."""

    def __init__(
        self,
        config: ConsumerConfig,
        listener: RebalanceListener,
        *,
        topics: TopicStore,
        group: Group,
        clock: Clock,
        network: Network,
    ) -> None:
        self._config = config
        self._listener = listener
        self._topics = topics
        self._group = group
        self._subscribed = config.topics
        self._clock = clock
        self._network = network
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._rejoin = asyncio.Event()
        self._polled = asyncio.Event()
        self._membership: Membership | None = None
        self._logs: dict[TopicPartition, PartitionLog] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, CommittedOffset] = {}
        self._paused: set[TopicPartition] = set()
        self._without_prefetch: set[TopicPartition] = set()
        self._rebalancing = True
        self._fetches = 0
        self._fetched_at = clock.monotonic()
        self._waiting_for: Collection[TopicPartition] = ()
        self._waiter: asyncio.Future[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._turn = 0

    async def start(self) -> None:
        """Begin to join the group; the listener is told of the assignment.

        Raises:
            TopicError: a topic does not exist.
        """
        self._network.connect()
        for topic in self._config.topics:
            self._topics.get(topic)
        self._fetched_at = self._clock.monotonic()
        self._stopped.clear()
        self._tasks = [
            asyncio.create_task(self._keep_membership()),
            asyncio.create_task(self._send_heartbeats()),
        ]

    async def stop(self) -> None:
        """Leave the group. A static member stays in it, and gets its partitions back later."""
        await self.kill()
        if self._membership is not None and self._config.group_instance_id is None:
            self._group.leave(self._membership.member_id)
        self._membership = None

    async def kill(self) -> None:
        """End as a killed process does: the group notices only when the session expires."""
        tasks, self._tasks = self._tasks, []
        self._stopped.set()
        self._rejoin.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._give_up_partitions()

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are assigned to this member now."""
        return frozenset(self._logs)

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions, and move their positions behind them.

        With no partitions it waits for the timeout and counts as a poll.

        Raises:
            OffsetOutOfRangeError: a position is no longer in the log.
            UnreadableRecordError: the next record cannot be parsed; earlier calls have returned all
                records before it.
        """
        if self._stopped.is_set():
            raise BrokerError("this consumer is not running: start it before fetching")
        self._fetches += 1
        self._polled.set()
        try:
            # A real client waits for its socket between responses. Without this, a consumer with a
            # long lag would never let other tasks run.
            await asyncio.sleep(0)
            return await self._take_or_wait(partitions, max_records, timeout_seconds)
        finally:
            self._fetches -= 1
            self._fetched_at = self._clock.monotonic()

    async def wait_for_records(self, timeout_seconds: float) -> Collection[TopicPartition]:
        """Wait until records come, or for the timeout; return the partitions that may have some."""
        if self._stopped.is_set():
            raise BrokerError("this consumer is not running: start it before fetching")
        self._fetches += 1
        self._polled.set()
        self._arrival = asyncio.get_running_loop().create_future()
        try:
            await self._wait_for(self._arrival, timeout_seconds)
            return [p for p, at in self._positions.items() if at != self._logs[p].end_offset]
        finally:
            self._arrival = None
            self._fetches -= 1
            self._fetched_at = self._clock.monotonic()

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store the offsets at which the group resumes.

        Raises:
            CommitRefusedError: a partition is not assigned to this member, or a rebalance has begun
                a new generation of the group.
            BrokerError: metadata is longer than 4,096 bytes.
        """
        membership = self._membership  # the request has the member's id and generation of now
        await asyncio.sleep(0)  # other tasks run, as they do while a real request is under way
        lost = [partition for partition in offsets if partition not in self._logs]
        if lost:
            raise CommitRefusedError(
                f"group {self._config.group!r}: cannot commit {lost[0]}, which this member does "
                "not hold; its new owner resumes at the last commit"
            )
        self._group.commit(membership, offsets)

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        """What the group had committed when the partition was assigned; `None` without a commit."""
        return self._committed.get(partition)

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""
        self._check_held(partition)
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset; discards what was prefetched of the partition."""
        self._check_held(partition)
        self._positions[partition] = offset
        self._without_prefetch.add(partition)
        self.wake(partition)

    def subscribe(self, topics: Collection[str]) -> None:
        """Read these topics from the next rebalance on, and no others; `request_rebalance` asks."""
        self._subscribed = tuple(topics)

    async def request_rebalance(self) -> None:
        """Have the group rebalance, if this member leads it or subscribes to other topics now."""
        if self._membership is not None and not self._rebalancing:
            self._group.rebalance_for(self._membership.member_id, self._subscribed)

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these partitions; discards what was prefetched of them."""
        for partition in partitions:
            self._check_held(partition)
            self._paused.add(partition)
            self._without_prefetch.add(partition)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these partitions again."""
        for partition in partitions:
            self._check_held(partition)
            self._paused.discard(partition)
            self.wake(partition)

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return {partition: self._topics.log(partition).start_offset for partition in partitions}

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """End offset of each log: the offset that its next record gets."""
        return {partition: self._topics.log(partition).end_offset for partition in partitions}

    def wake(self, partition: TopicPartition) -> None:
        """Wake whoever waits for records of this partition."""
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
        if self._waiter is not None and partition in self._waiting_for and not self._waiter.done():
            self._waiter.set_result(None)

    async def _take_or_wait(
        self, partitions: Collection[TopicPartition], max_records: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, FetchedRecords]:
        deadline = self._clock.monotonic() + timeout_seconds
        while True:
            taken, refetched = self._take(partitions, max_records)
            remaining = deadline - self._clock.monotonic()
            if taken or (remaining <= 0 and not refetched):
                return taken
            if refetched:
                await asyncio.sleep(0)
            else:
                await self._wait(partitions, remaining)

    def _take(
        self, partitions: Collection[TopicPartition], max_records: int
    ) -> tuple[dict[TopicPartition, FetchedRecords], bool]:
        """Take the records that are there now, and tell whether a partition was left out.

        After `pause` or `seek`, a real client has nothing prefetched of a partition. So such a
        partition is left out once, and its records come later than those of the others.
        """
        taken: dict[TopicPartition, FetchedRecords] = {}
        refetched = False
        if self._rebalancing:
            return taken, refetched
        room = max_records
        for partition in self._in_turn(partitions):
            if partition in self._without_prefetch:
                self._without_prefetch.discard(partition)
                refetched = True
                continue
            log, position = self._logs[partition], self._positions[partition]
            try:
                records, behind = read_records(log, position, room, self._group.name)
            except (OffsetOutOfRangeError, UnreadableRecordError):
                if taken:
                    break  # returns these records; the next fetch raises the error
                raise
            self._positions[partition] = behind
            if records:
                taken[partition] = FetchedList(records)
                room -= len(records)
                if not room:
                    break
        return taken, refetched

    def _in_turn(self, partitions: Collection[TopicPartition]) -> Sequence[TopicPartition]:
        """The fetchable partitions, each time starting with another one, so that none starves."""
        ready = [p for p in partitions if p in self._logs and p not in self._paused]
        if len(ready) > 1:
            self._turn += 1
            start = self._turn % len(ready)
            return ready[start:] + ready[:start]
        return ready

    async def _wait(self, partitions: Collection[TopicPartition], seconds: float) -> None:
        """Wait until one of the partitions has new records or the time is over."""
        self._waiting_for = partitions
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._wait_for(self._waiter, seconds)
        finally:
            self._waiter = None

    async def _wait_for(self, waiter: "asyncio.Future[None]", seconds: float) -> None:
        """Wait until this future is set or the time is over."""
        sleep = asyncio.create_task(self._sleep(seconds))
        try:
            await asyncio.wait({waiter, sleep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    async def _keep_membership(self) -> None:
        """Join the group, and join again whenever it rebalances."""
        while not self._stopped.is_set():
            self._rejoin.clear()
            self._rebalancing = True
            await self._call_listener(self._listener.on_partitions_revoked, self.assignment())
            if self._stopped.is_set():
                return  # the listener has suppressed the cancellation
            self._give_up_partitions()
            while self._idle_seconds() >= self._config.max_poll_interval_seconds:
                self._polled.clear()
                await self._polled.wait()
            member_id = self._membership.member_id if self._membership else None
            config = replace(self._config, topics=self._subscribed)
            self._membership = await self._group.join(member_id, config, self._rejoin.set)
            self._take_partitions(self._membership.partitions)
            self._rebalancing = False
            await self._call_listener(self._listener.on_partitions_assigned, self.assignment())
            await self._rejoin.wait()

    async def _send_heartbeats(self) -> None:
        """Send heartbeats to the group, and leave it when `fetch` was not called for too long."""
        while True:
            await self._clock.sleep(self._config.session_timeout_seconds / 3)
            if self._membership is None:
                continue
            if self._idle_seconds() >= self._config.max_poll_interval_seconds:
                self._group.leave(self._membership.member_id)
            if not self._group.heartbeat(self._membership.member_id) and not self._rebalancing:
                _logger.warning("group %s evicted this member, which joins again", self._group.name)
                self._rejoin.set()

    async def _call_listener(
        self,
        callback: Callable[[frozenset[TopicPartition]], Awaitable[None]],
        partitions: frozenset[TopicPartition],
    ) -> None:
        try:
            await callback(partitions)
        except Exception:  # as RebalanceListener says: it is logged, and the rebalance goes on
            _logger.exception("a rebalance listener of group %s failed", self._group.name)

    def _take_partitions(self, partitions: Collection[TopicPartition]) -> None:
        for partition in sorted(partitions):
            log = self._topics.log(partition)
            committed = self._group.commits.get(partition)
            if committed is not None:
                self._committed[partition] = committed
                position = committed.offset
            elif self._config.offset_reset == "earliest":
                position = log.start_offset
            else:
                position = log.end_offset
            self._positions[partition] = position
            self._logs[partition] = log
            log.readers[self] = None
            self.wake(partition)

    def _give_up_partitions(self) -> None:
        for log in self._logs.values():
            log.readers.pop(self, None)
        self._logs = {}
        self._positions = {}
        self._committed = {}
        self._paused.clear()
        self._without_prefetch.clear()

    def _idle_seconds(self) -> float:
        return 0.0 if self._fetches else self._clock.monotonic() - self._fetched_at

    def _check_held(self, partition: TopicPartition) -> None:
        if partition not in self._logs:
            raise BrokerError(
                f"group {self._config.group!r}: this member does not hold {partition}; wait for "
                "its assignment"
            )
