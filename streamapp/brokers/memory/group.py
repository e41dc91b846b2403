"""A consumer group and its coordinator: members, generations, rebalances, committed offsets.

It follows Kafka's classic protocol. A rebalance begins when a member joins, leaves or is evicted.
All members give up all their partitions and join again; a member that has not joined within the
rebalance timeout is evicted. Then a new generation begins, and the partitions are assigned.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle

from streamapp.brokers.memory.topics import TopicStore
from streamapp.brokers.protocols import (
    MAX_COMMIT_METADATA_BYTES,
    CommittedOffset,
    ConsumerConfig,
    GroupMember,
)
from streamapp.clock import Clock
from streamapp.errors import BrokerError, CommitRefusedError
from streamapp.record import TopicPartition


@dataclass(frozen=True, slots=True)
class Membership:
    """What a member gets from a rebalance."""

    member_id: str
    generation: int
    partitions: frozenset[TopicPartition]


@dataclass(slots=True, eq=False)
class _Member:
    member_id: str
    config: ConsumerConfig
    ask_to_rejoin: Callable[[], None]
    last_heartbeat_at: float
    partitions: frozenset[TopicPartition] = frozenset()
    joined: "asyncio.Future[Membership] | None" = None


@dataclass(slots=True)
class _Timers:
    """Tasks of the coordinator; each ends when it has nothing left to wait for."""

    sessions: "asyncio.Task[None] | None" = None
    rebalance: "asyncio.Task[None] | None" = None


class Group:
    """One consumer group.

    Attributes:
        name: the group's name.
        commits: committed offsets; they are kept when all members have left.
    """

    def __init__(self, name: str, topics: TopicStore, clock: Clock) -> None:
        self.name = name
        self.commits: dict[TopicPartition, CommittedOffset] = {}
        self._topics = topics
        self._clock = clock
        self._members: dict[str, _Member] = {}
        self._numbers = count(1)
        self._generation = 0
        self._rebalancing = False
        self._timers = _Timers()

    @property
    def member_count(self) -> int:
        """Number of members."""
        return len(self._members)

    @property
    def members(self) -> Sequence[GroupMember]:
        """Its members; during a rebalance nobody knows what will be assigned to them."""
        return [
            GroupMember(
                one.config.client_id, "memory", None if self._rebalancing else one.partitions
            )
            for one in self._members.values()
        ]

    @property
    def subscribed_topics(self) -> frozenset[str]:
        """Topics that members subscribe to."""
        return frozenset(name for one in self._members.values() for name in one.config.topics)

    def subscribes_to(self, topic: str) -> bool:
        """Whether any member subscribes to this topic."""
        return any(topic in member.config.topics for member in self._members.values())

    async def join(
        self, member_id: str | None, config: ConsumerConfig, ask_to_rejoin: Callable[[], None]
    ) -> Membership:
        """Join, or join again, and wait until the rebalance has ended.

        Args:
            member_id: id from an earlier join; `None` for a new member.
            config: topics and timeouts of the member.
            ask_to_rejoin: called when a rebalance begins, so that the member joins again.
        """
        member = self._members.get(member_id) if member_id else None
        if member is None:
            known = self._static_member(config)
            member = self._admit(config, ask_to_rejoin)
            if known is not None:
                return self._replace(known, member)
        member.config = config
        member.last_heartbeat_at = self._clock.monotonic()
        joined: asyncio.Future[Membership] = asyncio.get_running_loop().create_future()
        member.joined = joined
        self._begin_rebalance()
        self._complete_when_all_joined()
        return await joined

    def leave(self, member_id: str) -> None:
        """Remove a member and rebalance the others; does nothing if it has left already."""
        if self._members.pop(member_id, None) is None:
            return
        if self._members:
            self._begin_rebalance()
            self._complete_when_all_joined()
        else:
            self._rebalancing = False
            self._stop_timers()

    def heartbeat(self, member_id: str) -> bool:
        """Note that a member is alive; false if it is not, or no longer, a member."""
        if not self._is_member(member_id):
            return False
        self._members[member_id].last_heartbeat_at = self._clock.monotonic()
        return True

    def _is_member(self, member_id: str) -> bool:
        """Whether it is a member and its session has not expired."""
        member = self._members.get(member_id)
        if member is None:
            return False
        silent_seconds = self._clock.monotonic() - member.last_heartbeat_at
        if not member.joined and silent_seconds > member.config.session_timeout_seconds:
            # The blocked event loop could not run its timer.
            self.leave(member_id)
            return False
        return True

    def commit(
        self, membership: Membership | None, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Store offsets of a member of the current generation.

        Raises:
            CommitRefusedError: it is no member, or is in an older generation.
            BrokerError: metadata is too long.
        """
        current = (
            membership is not None
            and self._is_member(membership.member_id)
            and membership.generation == self._generation
        )
        if not current:
            raise CommitRefusedError(
                f"group {self.name!r} refused a commit: this member is not in its generation "
                f"{self._generation}; its partitions went to others, who will read them again"
            )
        self._store(offsets)

    def set_offsets(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store offsets without being a member.

        Raises:
            CommitRefusedError: the group has members.
            BrokerError: metadata is too long.
        """
        if self._members:
            raise CommitRefusedError(
                f"group {self.name!r} has members, so its offsets are theirs to commit; "
                "stop its workers first"
            )
        self._store(offsets)

    def _store(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        for partition, committed in offsets.items():
            if len(committed.metadata.encode()) > MAX_COMMIT_METADATA_BYTES:
                raise BrokerError(
                    f"group {self.name!r} refused a commit of {partition}: its metadata is longer "
                    f"than {MAX_COMMIT_METADATA_BYTES} bytes"
                )
        existing = {name: kept for name, kept in offsets.items() if self._topics.find(name.topic)}
        self.commits.update(existing)

    def rebalance(self) -> None:
        """Assign the partitions anew, because their number has changed."""
        if self._members:
            self._begin_rebalance()

    def rebalance_for(self, member_id: str, topics: Collection[str]) -> None:
        """Assign the partitions anew for a member that leads, or wants other topics than it has.

        The first member to join leads the group.
        """
        member = self._members.get(member_id)
        if member is None:
            return
        if member_id == next(iter(self._members)) or set(member.config.topics) != set(topics):
            self._begin_rebalance()

    def _admit(self, config: ConsumerConfig, ask_to_rejoin: Callable[[], None]) -> _Member:
        prefix = config.group_instance_id or "member"
        member_id = f"{prefix}-{next(self._numbers):06d}"
        member = _Member(member_id, config, ask_to_rejoin, self._clock.monotonic())
        self._members[member_id] = member
        if self._timers.sessions is None or self._timers.sessions.done():
            self._timers.sessions = asyncio.create_task(self._expire_sessions())
        return member

    def _static_member(self, config: ConsumerConfig) -> _Member | None:
        """The static member that a restarted one replaces: it has the same instance id."""
        if config.group_instance_id is None:
            return None
        for member in self._members.values():
            if member.config.group_instance_id == config.group_instance_id:
                return member
        return None

    def _replace(self, old: _Member, new: _Member) -> Membership:
        """Give a restarted static member its earlier partitions, without a rebalance."""
        del self._members[old.member_id]
        new.partitions = old.partitions
        if self._rebalancing or old.config.topics != new.config.topics:
            self._begin_rebalance()
            new.ask_to_rejoin()
        return Membership(new.member_id, self._generation, new.partitions)

    def _begin_rebalance(self) -> None:
        for member in self._members.values():
            if member.joined is None:
                member.ask_to_rejoin()
        if not self._rebalancing:
            self._rebalancing = True
            self._timers.rebalance = asyncio.create_task(self._expire_rebalance())

    def _complete_when_all_joined(self) -> None:
        members = self._members.values()
        if not self._rebalancing or not all(member.joined for member in members):
            return
        self._rebalancing = False
        self._generation += 1
        self._cancel_rebalance_timer()
        assigned = _assign_round_robin(list(members), self._topics)
        now = self._clock.monotonic()
        for member in members:
            member.partitions = frozenset(assigned[member.member_id])
            member.last_heartbeat_at = now
            joined, member.joined = member.joined, None
            if joined is not None and not joined.done():
                joined.set_result(Membership(member.member_id, self._generation, member.partitions))

    async def _expire_rebalance(self) -> None:
        """Evict members that have not joined again within the rebalance timeout."""
        timeout = max(m.config.rebalance_timeout_seconds for m in self._members.values())
        await self._clock.sleep(timeout)
        for member in list(self._members.values()):
            if member.joined is None:
                del self._members[member.member_id]
        self._timers.rebalance = None
        self._complete_when_all_joined()

    async def _expire_sessions(self) -> None:
        """Evict members that sent no heartbeat for their session timeout."""
        while self._members:
            now = self._clock.monotonic()
            for member in list(self._members.values()):
                waits = member.joined is not None  # for the rebalance: needs no heartbeat
                if (
                    not waits
                    and now - member.last_heartbeat_at > member.config.session_timeout_seconds
                ):
                    self.leave(member.member_id)
            await self._clock.sleep(max(self._next_expiry() - now, 0.001))

    def _next_expiry(self) -> float:
        """When the next session expires without a heartbeat; a millisecond more, to be past it."""
        now = self._clock.monotonic()
        return 0.001 + min(
            (
                (now if m.joined else m.last_heartbeat_at) + m.config.session_timeout_seconds
                for m in self._members.values()
            ),
            default=now,
        )

    def _cancel_rebalance_timer(self) -> None:
        if self._timers.rebalance is not None:
            self._timers.rebalance.cancel()
            self._timers.rebalance = None

    def _stop_timers(self) -> None:
        self._cancel_rebalance_timer()
        if self._timers.sessions is not None:
            self._timers.sessions.cancel()
            self._timers.sessions = None


@dataclass(slots=True)
class Groups:
    """All consumer groups of a broker, by name.

    Attributes:
        notice_seconds: time until a group notices that a topic has come, gone or grown, as long as
            a client keeps what it knows of topics.
    """

    topics: TopicStore
    clock: Clock
    notice_seconds: float = 0.0
    _groups: dict[str, Group] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def find(self, name: str) -> Group | None:
        """The group, or `None` if it does not exist."""
        return self._groups.get(name)

    def get(self, name: str) -> Group:
        """The group; it is created if it does not exist."""
        if name not in self._groups:
            self._groups[name] = Group(name, self.topics, self.clock)
        return self._groups[name]

    def notice(self, group: Group) -> None:
        """Let a group rebalance when it notices that the partitions of a topic have changed."""
        if not self.notice_seconds:
            group.rebalance()
            return
        asyncio.get_running_loop().call_later(self.notice_seconds, group.rebalance)

    def needed_from(self, partition: TopicPartition, end_offset: int) -> int:
        """First offset that a group may still read; the end if no group reads the partition."""
        needed = end_offset
        for group in self._groups.values():
            committed = group.commits.get(partition)
            if committed is not None:
                needed = min(needed, committed.offset)
            elif group.subscribes_to(partition.topic):
                return 0
        return needed


def _assign_round_robin(
    members: list[_Member], topics: TopicStore
) -> dict[str, list[TopicPartition]]:
    """Assign partitions to the members that subscribe, as Kafka's `RoundRobinAssignor` does."""
    members = sorted(members, key=lambda member: member.member_id)
    assigned: dict[str, list[TopicPartition]] = {member.member_id: [] for member in members}
    turn = cycle(members)
    for name in sorted({topic for member in members for topic in member.config.topics}):
        topic = topics.find(name)
        for log in topic.logs if topic else []:
            taker = next(member for member in turn if name in member.config.topics)
            assigned[taker.member_id].append(log.partition)
    return assigned
