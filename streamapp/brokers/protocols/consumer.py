"""Reads as a member of a consumer group."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from streamapp.brokers.protocols.fetched import FetchedRecords
from streamapp.brokers.protocols.group import CommittedOffset
from streamapp.record import TopicPartition

CLIENT_ID = "streamapp"
"""What consumers of stages call themselves, so that others in their groups are seen."""


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """How a group member reads.

    Attributes:
        group: name of the consumer group.
        topics: topics to subscribe to; they must exist. Without any, the member waits for some.
        max_prefetch_bytes: most bytes that the client may buffer before they are asked for.
        session_timeout_seconds: a member that sends no heartbeat for so long is evicted.
        rebalance_timeout_seconds: how long a rebalance waits for this member to give its
            partitions back; must be longer than the drain deadline.
        max_poll_interval_seconds: a member that does not fetch for so long leaves the group.
        offset_reset: where reading starts in a partition without a committed offset.
        group_instance_id: id of a static member; `None` means dynamic membership.
        client_id: what the client calls itself.
    """

    group: str
    topics: tuple[str, ...]
    max_prefetch_bytes: int = 8 * 1024 * 1024
    session_timeout_seconds: float = 10.0
    rebalance_timeout_seconds: float = 30.0
    max_poll_interval_seconds: float = 300.0
    offset_reset: Literal["earliest", "latest"] = "earliest"
    group_instance_id: str | None = None
    client_id: str = CLIENT_ID


class RebalanceListener(Protocol):
    """The consumer calls this before and after a rebalance.

    Rebalances are eager: all partitions are revoked, then the new ones are assigned. The consumer
    logs an exception that is raised here, and the rebalance goes on. `fetch` may return records of
    new partitions before `on_partitions_assigned` has returned.
    """

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Give these partitions back; their offsets can be committed until this returns."""

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Take these partitions over."""


class Consumer(Protocol):
    """A member of a consumer group. It reads records of committed transactions only."""

    async def start(self) -> None:
        """Connect and begin to join the group; the listener is told of the assignment."""

    async def stop(self) -> None:
        """Leave the group and close the connections."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are assigned to this member now."""

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions, and move their positions behind them.

        Prefetched records of other partitions stay buffered. Every call counts as a poll. With no
        partitions it waits for the timeout, so that a member that takes no records for a while is
        not evicted.

        Raises:
            OffsetOutOfRangeError: a position is no longer in the log.
            UnreadableRecordError: the next record cannot be parsed; earlier calls have returned all
                records before it.
            ConfigurationError: records cannot be decompressed, as a library is not installed.
            ConsumerEndedError: the client has ended by itself; stop it, and start it anew.
        """

    async def wait_for_records(self, timeout_seconds: float) -> Collection[TopicPartition]:
        """Wait until records come, or for the timeout; return the partitions that may have some.

        Among these are all of which `fetch` would return records without a wait. It counts as a
        poll.
        """

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store the offsets at which the group resumes; those of deleted topics are left out.

        Raises:
            CommitRefusedError: this member is no longer part of the group's generation.
        """

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        """What the group had committed when the partition was assigned; `None` without a commit."""

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset; discards what was prefetched of the partition."""

    def subscribe(self, topics: Collection[str]) -> None:
        """Read these topics from the next rebalance on, and no others; `request_rebalance` asks.

        What is given while partitions are being revoked counts for that rebalance. Topics need not
        exist. Members may subscribe to different topics for a while: a partition is assigned to one
        of those that subscribe to its topic, and to nobody if there is none.
        """

    async def request_rebalance(self) -> None:
        """Have the group rebalance, if this member leads it or subscribes to other topics now.

        Otherwise it does nothing. The partitions are assigned as the topics have them then.
        """

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these partitions; discards what was prefetched of them."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these partitions again."""

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition: all records before it can be read."""
