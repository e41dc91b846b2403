"""A group member whose requests fail, are late, or get wrong answers."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.memory.group import Group, Membership
from streamapp.brokers.protocols import (
    CommittedOffset,
    ConsumerConfig,
    FetchedRecords,
    RebalanceListener,
)
from streamapp.errors import BrokerError, CommitRefusedError, OffsetOutOfRangeError
from streamapp.record import TopicPartition
from tests.simulation.faults import Fault
from tests.simulation.network import Line, Wire
from tests.simulation.share import Share, SortedPartitions

if TYPE_CHECKING:
    from tests.simulation.broker import ProcessBroker, SimulatedBroker


_LATE_SECONDS = 1.0
"""Longest way of a late fetch, in which a rebalance can begin and end, and of an assignment."""


class CoordinatorLink:
    """The group as a member sees it: through requests that take time.

    What the coordinator does runs in the broker's context, so a frozen member does not stop it.
    """

    def __init__(
        self, broker: "SimulatedBroker", group: Group, line: Line, shares: Collection[Share]
    ) -> None:
        self.name = group.name
        self.group = group
        self._shares = shares
        self.is_joining = False
        self._broker = broker
        self._line = line

    @property
    def commits(self) -> Mapping[TopicPartition, CommittedOffset]:
        return self.group.commits

    async def join(
        self, member_id: str | None, config: ConsumerConfig, ask_to_rejoin: Callable[[], None]
    ) -> Membership:
        def ask() -> None:
            if not self.is_joining:
                ask_to_rejoin()

        world = self._line.world
        while True:
            try:
                await self._line.pass_over()
            except BrokerError:
                await asyncio.sleep(1.0)
            else:
                break
        joining: asyncio.Task[Membership] = world.loop.create_task(
            self._arrive(member_id, config, ask), context=world.outside
        )
        membership = await joining
        for share in self._shares:
            self._broker.checker.joined(share.group, membership)
        return membership

    async def _arrive(
        self, member_id: str | None, config: ConsumerConfig, ask: Callable[[], None]
    ) -> Membership:
        self.is_joining = False
        return await self.group.join(member_id, config, ask)

    def rebalance_for(self, member_id: str, topics: Collection[str]) -> None:
        if not self._line.is_cut and not self._line.world.is_down:
            self._line.world.outside.run(self.group.rebalance_for, member_id, topics)

    def leave(self, member_id: str) -> None:
        if not self._line.is_cut:
            self._line.world.outside.run(self.group.leave, member_id)

    def heartbeat(self, member_id: str) -> bool:
        line = self._line
        if line.is_cut or line.is_mute or line.world.is_down:
            return True  # no answer is no news
        heard: bool = line.world.outside.run(self.group.heartbeat, member_id)
        return heard


class Listener:
    """Tells the checker of rebalances, and passes them on to the runtime."""

    def __init__(self, consumer: "SimulatedConsumer", inner: RebalanceListener) -> None:
        self._consumer = consumer
        self._inner = inner

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        await self._tell("revoked", self._inner.on_partitions_revoked, partitions)

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        await self._tell("assigned", self._inner.on_partitions_assigned, partitions)

    async def _tell(
        self,
        what: str,
        callback: Callable[[frozenset[TopicPartition]], Awaitable[None]],
        partitions: frozenset[TopicPartition],
    ) -> None:
        broker, ordered = self._consumer.broker, SortedPartitions(partitions)
        shares = self._consumer.shares
        broker.trace(f"{what} {[f'{p.topic}[{p.partition}]' for p in ordered]}")
        if what == "revoked":
            # The join that follows answers all requests to join again that come from now on.
            self._consumer.link.is_joining = True
            for share in shares:
                broker.checker.finished.told(share.process, share.group)
                broker.checker.starvation.away(share)
        else:
            # As on Kafka, records can be fetched before the callback has returned.
            world = self._consumer.line.world
            late = world.dice.strikes(Fault.ASSIGNMENT_LATE)
            longest = _LATE_SECONDS if late else world.latency_seconds
            await asyncio.sleep(world.dice.seconds(longest))
            for share in shares:
                broker.checker.finished.assigned(share, share.own(ordered), world.loop.time())
                broker.checker.stops.joined(share)
        began = broker.world.loop.time()
        try:
            await callback(ordered)
        except Exception as error:
            # A consumer logs such an error and goes on; here it counts as a fault of the runtime.
            broker.checker.complain(f"a rebalance callback raised {error!r}")
            raise
        if what == "revoked":
            self._consumer.gives_back()
            self._consumer.gave_back()
            broker.checker.stops.drained(self._consumer.process, began)
        for share in shares:
            if what == "revoked":
                broker.checker.positions.revoked(share)
            else:
                broker.checker.starvation.back(share)


class SimulatedConsumer:
    """A member of the memory broker, behind a connection that fails."""

    def __init__(
        self,
        broker: "SimulatedBroker",
        config: ConsumerConfig,
        listener: RebalanceListener,
        life: "ProcessBroker",
    ) -> None:
        line = life.line
        self.life = life
        self.broker = broker
        self.group = config.group
        self.process = line.process
        self.line = line
        self._wire = Wire(line)
        self.shares = tuple(broker.shares_of(self))
        self.link = CoordinatorLink(broker, broker.group(config.group), line, self.shares)
        self._inner = MemoryConsumer(
            config,
            Listener(self, listener),
            topics=broker._topics,
            group=self.link,  # type: ignore[arg-type]  # as much of it as a member uses
            clock=broker.clock,
            network=broker.network,
        )
        self.pause = self._inner.pause
        self.resume = self._inner.resume
        self.subscribe = self._inner.subscribe
        self.request_rebalance = self._inner.request_rebalance

    async def start(self) -> None:
        await self.line.pass_over()
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()
        self.gave_back()

    def gives_back(self) -> None:
        """The member has committed what it could, in good order."""
        checker = self.broker.checker
        for share in self.shares:
            if not checker.stops.fails_to_commit(share):
                checker.finished.gives_back(share.process, share.group)

    def gave_back(self) -> None:
        """The member has given its partitions back: it has nothing in flight any more."""
        checker = self.broker.checker
        for share in self.shares:
            checker.holdings.revoked(share)
            may_forget = checker.stops.fails_to_commit(share)
            checker.finished.revoked(share, may_forget=may_forget)
            checker.stops.joined(share)

    def share_of(self, partition: TopicPartition) -> Share:
        """The share that a partition is part of."""
        return next(share for share in self.shares if share.own([partition]))

    def _told(self, names: Collection[TopicPartition]) -> Iterator[tuple[Share, SortedPartitions]]:
        """The shares that these partitions are part of, each with its own."""
        for share in self.shares:
            if own := share.own(names):
                yield share, own

    def assignment(self) -> frozenset[TopicPartition]:
        return SortedPartitions(self._inner.assignment())

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        checker = self.broker.checker
        self._note_fetch(partitions)
        if partitions and self.line.world.dice.strikes(Fault.FETCH_FAILED):
            raise BrokerError("the fetch failed")
        if partitions:
            await self.line.pass_over()
        if partitions and self.line.world.dice.strikes(Fault.FETCH_LATE):
            await asyncio.sleep(self.line.world.dice.seconds(_LATE_SECONDS))
        try:
            fetched = await self._inner.fetch(
                partitions, max_records=max_records, timeout_seconds=timeout_seconds
            )
        except OffsetOutOfRangeError as error:
            for share, _ in self._told(error.offsets):
                checker.positions.lost(share, error.offsets)
            raise
        if self.line.is_cut:
            raise BrokerError("this process is gone")
        for partition, records in fetched.items():
            checker.fetched(self.share_of(partition), partition, records)
        return fetched

    def _note_fetch(self, partitions: Collection[TopicPartition]) -> None:
        checker = self.broker.checker
        for share, own in self._told(partitions):
            if held := own & share.assignment():  # one of a bundle may have given some back
                checker.requested(share, held)
        for share in () if partitions else self.shares:
            checker.polled(share, has_unread=self._has_unread())

    async def wait_for_records(self, timeout_seconds: float) -> Collection[TopicPartition]:
        for share in self.shares:
            self.broker.checker.waits(share)
        return await self._inner.wait_for_records(timeout_seconds)

    def note_commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """A segment asks for a commit; in a bundle, it is sent a little later, with others."""
        for share, own in self._told(offsets):
            asked = {name: offsets[name] for name in own}
            self.broker.checker.finished.committing(share.process, share.group, asked)

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        # As on Kafka, it is not checked here whether the partitions are assigned to this member;
        # the checker does that.
        dice, checker = self.line.world.dice, self.broker.checker
        asking = list(self._told(offsets))
        if self.broker.bundle is None:
            self.note_commit(offsets)
        for share, _ in asking:
            checker.stops.committing(share)
        ending = dice.one_of(
            Fault.COMMIT_FAILED, Fault.COMMIT_LIED, Fault.COMMIT_REFUSED, Fault.COMMIT_SILENT
        )
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Read now, because the request has the member's id and generation of this moment.
        membership = self._inner._membership
        self._wire.send(self._store, membership, dict(offsets), ending, answer)
        well = False
        try:
            await answer
            well = True
        finally:
            for share, _ in asking:
                checker.stops.committed(share, well=well)

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        return self._inner.committed(partition)

    async def position(self, partition: TopicPartition) -> int:
        return await self._inner.position(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._inner.seek(partition, offset)
        share = self.share_of(partition)
        self.broker.checker.positions.sought(share, partition, offset)
        self.broker.checker.holdings.sought(share, partition, offset)

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._ask()
        return await self._inner.beginning_offsets(partitions)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._ask()
        return await self._inner.end_offsets(partitions)

    def _has_unread(self) -> bool:
        inner, topics = self._inner, self.broker._topics
        reads = self._inner.assignment() - inner._paused  # what waits until it is due is paused
        return any(inner._positions[p] < topics.log(p).end_offset for p in reads)

    async def _ask(self) -> None:
        await self.line.pass_over()
        if self.line.world.dice.strikes(Fault.OFFSETS_FAILED):
            raise BrokerError("no offsets for now")

    def _store(
        self,
        membership: Membership | None,
        offsets: Mapping[TopicPartition, CommittedOffset],
        ending: Fault | None,
        answer: "asyncio.Future[None]",
    ) -> None:
        """Store a commit when its request arrives at the coordinator."""
        world = self.line.world
        error: BrokerError | None = None
        if ending is Fault.COMMIT_FAILED or world.loop.time() < world.commits_refused_until:
            error = BrokerError("the commit failed")
        elif ending is Fault.COMMIT_REFUSED:
            error = CommitRefusedError("the group rebalances")
        else:
            try:
                self.link.group.commit(membership, offsets)
            except BrokerError as refused:
                error = refused
                self.broker.trace(f"commit refused {self.process} {_told(offsets)}")
            else:
                assert membership is not None
                for share, own in self._told(offsets):
                    stored = {name: offsets[name] for name in own}
                    self.broker.checker.committed(share.group, membership, stored)
                self.broker.trace(f"commit {self.process} {_told(offsets)}")
        if ending is Fault.COMMIT_LIED:
            error = BrokerError("the answer got lost")
        if ending is not Fault.COMMIT_SILENT:
            world.later(world.dice.seconds(world.latency_seconds), _answer, answer, error)


def _answer(answer: "asyncio.Future[Any]", error: BrokerError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)


def _told(offsets: Mapping[TopicPartition, CommittedOffset]) -> str:
    return " ".join(
        f"{p.topic}[{p.partition}]={c.offset}{'+' + c.metadata if c.metadata else ''}"
        for p, c in sorted(offsets.items())
    )
