"""What one reader sees of a member of a group that it shares with others: its own topics.

Hot path: a fetch is passed on to the member, restricted to the partitions of this reader.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

from streamapp.brokers.protocols import (
    CommittedOffset,
    Consumer,
    ConsumerConfig,
    FetchedRecords,
    RebalanceListener,
)
from streamapp.brokers.shared.member import SharedMember
from streamapp.errors import BrokerError, CommitRefusedError, ConsumerEndedError
from streamapp.record import TopicPartition


class View:
    """A consumer that is a part of another one.

    It obeys the protocol of a consumer as if it were alone, with these differences: it gives its
    partitions back when any reader has the group rebalance, and after `stop` the member keeps its
    partitions, which nobody reads, until all readers have stopped.

    Attributes:
        config: how it reads, and what.
        listener: told of its own partitions only.
        left: which run of the member it has left; 0 if it has left none.

    Args:
        member: the member that it is a part of.
    """

    def __init__(
        self, member: SharedMember, config: ConsumerConfig, listener: RebalanceListener
    ) -> None:
        self.config = config
        self.listener = listener
        self.left = 0
        self._member = member
        self._woken = asyncio.Event()
        self._empty: frozenset[TopicPartition] = frozenset()
        member.add(self)

    @property
    def _consumer(self) -> Consumer:
        return self._member.consumer_of(self)

    async def start(self) -> None:
        """Take part in the member's assignments; the first to start has it join its group."""
        await self._member.join(self)

    async def stop(self) -> None:
        """Take part no more; with the last one, the member leaves its group."""
        await self._member.leave(self)

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions of its topics that are assigned to the member now."""
        return self._member.own(self, self._consumer.assignment())

    def wake(self) -> None:
        """End the wait of a fetch: records have come, or an error."""
        self._empty = frozenset()
        self._woken.set()

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions, and move their positions behind them.

        The member is asked at once, unless nothing has come since it had nothing of them.

        Raises:
            Exception: the member's polling has failed, for a reason that is not tried again.
        """
        if not self._member.is_running:
            await self._member.keep_running(self)
        self._member.raise_poll_error()
        self._woken.clear()
        asked = frozenset(partitions)
        if not asked <= self._empty and (taken := await self._take(partitions, max_records)):
            return taken
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._woken.wait()
        self._member.raise_poll_error()
        return await self._take(partitions, max_records) if asked and self._woken.is_set() else {}

    async def _take(
        self, partitions: Collection[TopicPartition], max_records: int
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Take what the member has buffered, and remember of what it has nothing."""
        self._empty = frozenset(partitions)
        consumer = self._consumer
        try:
            taken = await consumer.fetch(partitions, max_records=max_records, timeout_seconds=0)
        except ConsumerEndedError as error:  # the member starts it anew, for all its readers
            raise BrokerError(str(error)) from error
        if taken:
            self._empty = frozenset()
        return taken

    async def wait_for_records(self, timeout_seconds: float) -> Collection[TopicPartition]:
        """Wait until records come, or for the timeout; return the partitions that may have some."""
        await self.fetch((), max_records=1, timeout_seconds=timeout_seconds)
        return self.assignment()

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store the offsets at which the group resumes, in one request with those of others.

        Raises:
            CommitRefusedError: a partition is not assigned to the member, or it is no longer part
                of the group's generation.
        """
        held = self._consumer.assignment()
        lost = [partition for partition in offsets if partition not in held]
        if lost:
            raise CommitRefusedError(
                f"group {self.config.group!r}: cannot commit {lost[0]}, which this member does "
                "not hold; its new owner resumes at the last commit"
            )
        await self._member.commits.ask(offsets)

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        """What the group had committed when the partition was assigned; `None` without a commit."""
        return self._consumer.committed(partition)

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""
        return await self._consumer.position(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset; discards what was prefetched of the partition."""
        self._consumer.seek(partition, offset)
        self._empty = frozenset()

    def subscribe(self, topics: Collection[str]) -> None:
        """Read these topics from the next rebalance on, and no others; `request_rebalance` asks."""
        self._member.subscribe(self, topics)

    async def request_rebalance(self) -> None:
        """Have the group rebalance, if the member leads it or subscribes to other topics now."""
        await self._consumer.request_rebalance()

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these partitions; discards what was prefetched of them."""
        self._consumer.pause(*partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these partitions again."""
        self._consumer.resume(*partitions)
        self._empty = frozenset()

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return await self._consumer.beginning_offsets(partitions)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition, asked for together with others."""
        _ = self._consumer  # raises if it is not running
        return await self._member.ends.ask(dict.fromkeys(partitions, None))
