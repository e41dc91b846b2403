"""The consumer of a stage whose topics Faust reads: `brokers.protocols.Consumer` over Faust."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.protocols import (
    CommittedOffset,
    ConsumerConfig,
    FetchedRecords,
    RebalanceListener,
)
from streamapp.clock import current_clock
from streamapp.errors import BrokerError, CommitRefusedError
from streamapp.faust_adapter.embedded_app import EmbeddedApp
from streamapp.faust_adapter.faust_record import FaustRecord
from streamapp.record import TopicPartition

MOST_WAITING = 1000
"""Records that wait here for the stage; further ones wait in Faust, which then stops fetching."""

STOP_SECONDS = 10.0
"""How long a Faust application may take to stop."""

CALL_SECONDS = 30.0
"""How long Faust may take to answer."""


class FaustConsumer:
    """A member of the group of a Faust application, for the topics of one stage.

    Records that the stage was given stay here until it has committed them, so that it can seek
    back to them.

    Args:
        embedded: the application.
        config: names the topics.
        listener: told of assignments, when the tables are restored.
    """

    def __init__(
        self, embedded: EmbeddedApp, config: ConsumerConfig, listener: RebalanceListener
    ) -> None:
        self._embedded = embedded
        self._topics = frozenset(config.topics)
        self._listener = listener
        self._held: frozenset[TopicPartition] = frozenset()
        self._waiting: dict[TopicPartition, deque[FaustRecord]] = {}
        self._given: dict[TopicPartition, deque[FaustRecord]] = {}
        # Not the position of Faust, which is behind what it has read and not handed over yet.
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        # Of these, Faust has dropped records that it had fetched; they are fetched again.
        self._dropped: set[TopicPartition] = set()
        self._came = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def start(self) -> None:
        """Start the Faust application, which joins its group."""
        await self._embedded.start()

    async def stop(self) -> None:
        """Stop the Faust application, if no other stage needs it."""
        self._forget()
        await self._embedded.stop(STOP_SECONDS)

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are assigned to this member now."""
        return self._held

    async def take(self, message: Any) -> None:
        """Take a message that Faust has read; waits while too many wait here."""
        while not self._has_room.is_set():
            await self._has_room.wait()
        place = TopicPartition(message.topic, message.partition)
        if place not in self._held or message.generation_id != self._generation:
            return  # of an earlier assignment: it is read again
        if message.offset < self._next.get(place, 0):
            return  # Faust has read it again; it waits here, or was given
        if await self._is_behind_a_drop(place, message.offset):
            return  # it is read again
        self._next[place] = message.offset + 1
        self._waiting.setdefault(place, deque()).append(FaustRecord(message))
        self._came.set()
        self._tell_room()

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions that Faust has read.

        Raises:
            StageError: the Faust application has crashed.
        """
        self._embedded.require_running()
        if not any(self._waiting.get(place) for place in partitions):
            await self._wait(timeout_seconds)
        found: dict[TopicPartition, FetchedRecords] = {}
        left = max_records
        for place in partitions:
            waiting = self._waiting.get(place)
            if not waiting or not left:
                continue
            taken = [waiting.popleft() for _ in range(min(left, len(waiting)))]
            left -= len(taken)
            self._given.setdefault(place, deque()).extend(taken)
            found[place] = FetchedList(taken)
        self._tell_room()
        return found

    async def wait_for_records(self, timeout_seconds: float) -> Collection[TopicPartition]:
        """Wait until records come, and return the partitions that have some."""
        self._embedded.require_running()
        if not any(self._waiting.values()):
            await self._wait(timeout_seconds)
        return [place for place, waiting in self._waiting.items() if waiting]

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store the offsets at which the group resumes, after Kafka has what Faust has sent.

        Raises:
            CommitRefusedError: a partition is not assigned to this member.
            BrokerError: they were not stored, or something that was sent was not written.
        """
        lost = [place for place in offsets if place not in self._held]
        if lost:
            raise CommitRefusedError(f"{lost[0]} is not assigned to {self._embedded.name!r}")
        if not offsets:
            return
        await self._ask(self._embedded.sends.wait())
        wanted = {_faust(place): one.offset for place, one in offsets.items()}
        if not await self._ask(self._consumer._commit_offsets(wanted)):  # noqa: SLF001 - what its own commits end with
            raise BrokerError(f"Faust application {self._embedded.name!r}: the commit failed")
        for place, one in offsets.items():
            given = self._given.get(place, deque())
            while given and given[0].offset < one.offset:
                given.popleft()

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        """What the group had committed when the partition was assigned; `None` without a commit."""
        offset = self._committed.get(partition)
        return None if offset is None else CommittedOffset(offset)

    async def position(self, partition: TopicPartition) -> int:
        """Offset of the next record that the stage is given, past what is known to be no record."""
        waiting = self._waiting.get(partition)
        if waiting:
            return int(waiting[0].offset)
        return int(self._consumer.gaps.end_of(partition, self._next[partition]))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Give the records from this offset on again."""
        given = self._given.get(partition, deque())
        waiting = self._waiting.setdefault(partition, deque())
        while given and given[-1].offset >= offset:
            waiting.appendleft(given.pop())
        self._came.set()

    def subscribe(self, topics: Collection[str]) -> None:
        """Faust subscribes to the topics of its agents, and to no others."""

    async def request_rebalance(self) -> None:
        """Faust sees new partitions by itself."""

    def pause(self, *_partitions: TopicPartition) -> None:
        """Not needed: only partitions that are asked for are given."""

    def resume(self, *_partitions: TopicPartition) -> None:
        """Not needed: only partitions that are asked for are given."""

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return await self._offsets(self._consumer.earliest_offsets, partitions)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """End of each log."""
        return await self._offsets(self._consumer.highwaters, partitions)

    async def revoked(self) -> None:
        """Faust gives its partitions back: the stage finishes and commits what is in flight."""
        if not self._held:
            return
        try:
            await self._listener.on_partitions_revoked(self._held)
        finally:
            self._forget()

    async def assigned(self, held: frozenset[TopicPartition]) -> None:
        """Faust has partitions, and has restored its tables."""
        own = frozenset(place for place in held if place.topic in self._topics)
        self._committed = await self._where_the_group_stands(own) if own else {}
        starts = await self.beginning_offsets(own) if own else {}
        self._next = {place: self._committed.get(place, starts[place]) for place in own}
        self._held = own
        await self._listener.on_partitions_assigned(self._held)

    async def read_again(self) -> None:
        """Have Faust read on from where the stage is, at the end of a rebalance.

        Faust drops what it fetches while it does not hand over yet, and goes back only where the
        group has committed something.
        """
        for place, offset in list(self._next.items()):
            if place in self._held:
                await self._consumer.seek(_faust(place), offset)

    async def _is_behind_a_drop(self, place: TopicPartition, offset: int) -> bool:
        """Whether Faust has dropped records before this one; then it is sent back to them."""
        start = self._consumer.gaps.start_of(place, offset)
        if start is None:
            return place in self._dropped
        wanted = self._next[place]
        if start <= self._consumer.gaps.end_of(place, wanted):
            self._dropped.discard(place)
            return False
        self._dropped.add(place)
        await self._consumer.seek(_faust(place), wanted)
        return True

    async def _where_the_group_stands(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Committed offsets, read anew: Faust itself reads them later, and seeks to them then.

        A stage with nothing in flight commits its position. If that were lower, the group would go
        back, and work on everything since then again.
        """
        found = await self._ask(self._consumer.seek_to_committed())
        return {place: int(found[place]) for place in partitions if (found.get(place) or 0) > 0}

    @property
    def _consumer(self) -> Any:
        return self._embedded.app.consumer

    @property
    def _generation(self) -> int:
        return int(self._embedded.app.consumer_generation_id)

    def _forget(self) -> None:
        self._held = frozenset()
        self._waiting.clear()
        self._given.clear()
        self._next.clear()
        self._dropped.clear()
        self._has_room.set()

    def _tell_room(self) -> None:
        if sum(map(len, self._waiting.values())) < MOST_WAITING:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _wait(self, seconds: float) -> None:
        """Wait until records come."""
        self._came.clear()
        clock = current_clock()
        waiter = asyncio.ensure_future(self._came.wait())
        sleeper = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait({waiter, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
            sleeper.cancel()

    async def _ask(self, answer: Any) -> Any:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await answer
        except Exception as error:
            raise BrokerError(
                f"Faust application {self._embedded.name!r}: {type(error).__name__}: {error}"
            ) from error

    async def _offsets(
        self, ask: Any, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        found = await self._ask(ask(*map(_faust, partitions)))
        return {TopicPartition(*place): int(offset) for place, offset in found.items()}


def _faust(partition: TopicPartition) -> Any:
    from faust.types import TP  # noqa: PLC0415

    return TP(partition.topic, partition.partition)
