"""What the runtime asks of a broker: consumer, producer, admin.

Two brokers implement it, `memory` and `kafka`, held to one contract suite (tests/contract).
Every call may raise `streamapp.errors.BrokerError`; a call that waits takes its own deadline.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from streamapp.record import Headers, Record, TopicPartition

MAX_COMMIT_METADATA_BYTES = 4096
"""Kafka's `offset.metadata.max.bytes` default; one byte more and the commit fails."""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """Where a group goes on in a partition.

    Attributes:
        offset: the next offset to deliver.
        metadata: a string of ours kept beside it, at most 4,096 bytes.
    """

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create.

    Attributes:
        name: its name.
        partitions: how many.
        replication_factor: copies of each partition.
        config: topic configuration by Kafka's names, such as `max.message.bytes`.
    """

    name: str
    partitions: int
    replication_factor: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the broker has it; `config` holds the effective values by Kafka's names."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]

    @property
    def max_message_bytes(self) -> int:
        """Largest record batch, in bytes, that the topic takes."""
        return int(self.config["max.message.bytes"])

    @property
    def needs_keys(self) -> bool:
        """Whether a record without a key is refused: the topic is compacted."""
        return "compact" in self.config.get("cleanup.policy", "")


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """How a group member reads.

    Attributes:
        group: consumer group.
        topics: topics to subscribe to; they must exist.
        max_prefetch_bytes: bound on bytes fetched ahead of what was asked for.
        session_timeout_seconds: a member not heard of for so long is evicted.
        rebalance_timeout_seconds: how long a rebalance waits for this member's revocation;
            above the drain deadline.
        max_poll_interval_seconds: a member that does not fetch for so long leaves the group.
        offset_reset: where a partition without a committed offset starts.
        group_instance_id: static membership; `None` is dynamic.
    """

    group: str
    topics: tuple[str, ...]
    max_prefetch_bytes: int = 8 * 1024 * 1024
    session_timeout_seconds: float = 10.0
    rebalance_timeout_seconds: float = 30.0
    max_poll_interval_seconds: float = 300.0
    offset_reset: Literal["earliest", "latest"] = "earliest"
    group_instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class ProducerConfig:
    """How batches are written: always idempotent, always acknowledged by all replicas.

    Attributes:
        max_batch_bytes: size at which a batch is full; an empty batch takes one record of any
            size, so the caller checks sizes first.
        request_timeout_seconds: deadline of one request to the broker.
    """

    max_batch_bytes: int = 512 * 1024
    request_timeout_seconds: float = 40.0


class RebalanceListener(Protocol):
    """Called by the consumer around a rebalance.

    Rebalances are eager: everything is revoked, then the new assignment is given. An exception
    raised here is logged by the consumer and otherwise swallowed, and records may be delivered
    before `on_partitions_assigned` has returned.
    """

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These partitions are about to be taken away; offsets can still be committed."""

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """These partitions are now read by this member."""


class FetchedRecords(Protocol):
    """Records of one partition that were fetched together, in the order of their offsets.

    What the runtime asks of many records it asks of a slice: `first` to `last`, the last left out,
    are places in this set.
    """

    @property
    def offsets(self) -> Sequence[int]:
        """Their offsets, rising."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Record]: ...

    def __getitem__(self, index: int) -> Record: ...

    def value_bytes(self, first: int, last: int) -> int:
        """Bytes of their values."""

    def timestamps(self, first: int, last: int) -> Sequence[int]:
        """Their timestamps, in milliseconds since the epoch."""

    def before(self, offset: int) -> "FetchedRecords":
        """Those below this offset."""

    def without(self, offsets: Collection[int]) -> "FetchedRecords":
        """Those with other offsets."""


class Consumer(Protocol):
    """A member of a consumer group, reading committed records only."""

    async def start(self) -> None:
        """Connect and join the group; the assignment comes through the listener."""

    async def stop(self) -> None:
        """Leave the group and close the connections."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions this member holds now."""

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Records of these partitions only; what is prefetched of the others stays.

        With no partitions it waits for the timeout and still counts as a poll, so that a member
        which is not ready for more is not evicted. The position moves past what is returned.

        Raises:
            OffsetOutOfRangeError: the position is no longer in the log.
        """

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store where the group goes on.

        Raises:
            CommitRefusedError: this member is no longer part of the group's generation.
        """

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        """What the group had committed here when this member got it; `None` without a commit."""

    async def position(self, partition: TopicPartition) -> int:
        """Offset that the next fetch of this partition starts at."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at this offset; what was prefetched is thrown away."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these; what was prefetched of them is thrown away."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these again."""

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset still in each log."""

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition: one past the last committed record."""


Append: TypeAlias = Callable[[int, int, bytes | None, bytes | None, Headers], object | None]
"""Adds a record to a batch: its place in the batch, timestamp, key, value, headers.

`None` means that the batch is full and the record is not in it.
"""


class BatchBuilder(Protocol):
    """Records on their way into one partition, encoded as they are appended.

    Either all records go through `append`, or all go through `appender`, which costs less, and
    `seal` ends them.
    """

    @property
    def appender(self) -> Append:
        """Adds records whose places the caller counts from 0; Kafka takes headers as a list."""

    def seal(self, records: int) -> None:
        """Take no more records; so many went through `appender`."""

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = ...,
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record is not in it."""

    def record_count(self) -> int:
        """Records in the batch."""

    def size(self) -> int:
        """Encoded bytes so far."""


class Producer(Protocol):
    """An idempotent producer of whole batches.

    After a batch failed, the producer is done for: stop it and make a new one.
    """

    async def start(self) -> None:
        """Connect and get a producer id."""

    async def stop(self) -> None:
        """Close; waits for nothing that is unsent. The caller awaits its acknowledgements."""

    async def partition_count(self, topic: str) -> int:
        """How many partitions the topic has.

        Raises:
            TopicError: there is no such topic.
        """

    def create_batch(self, max_bytes: int | None = None) -> BatchBuilder:
        """An empty batch that is full at `max_batch_bytes`, or at `max_bytes` if that is less."""

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Hand over a batch, which is closed by that; the future is its acknowledgement.

        Batches for one partition are written in the order of these calls.
        """


class Admin(Protocol):
    """Topics and group offsets."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Close the connections."""

    async def list_topics(self) -> frozenset[str]:
        """Names of all topics."""

    async def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        """Those of the named topics that exist."""

    async def create_topics(self, topics: Collection[TopicSpec]) -> None:
        """Create topics and wait until they can be used.

        Raises:
            TopicError: one exists already or its declaration is refused.
        """

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with all their records."""

    async def add_partitions(self, topic: str, total: int) -> None:
        """Raise the number of partitions to `total`."""

    async def alter_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic and leave the others."""

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Move the log start of each partition to this offset."""

    async def committed_offsets(self, group: str) -> Mapping[TopicPartition, CommittedOffset]:
        """What the group has committed, with metadata; empty for an unknown group."""

    async def list_groups(self) -> frozenset[str]:
        """Names of all consumer groups that have members or committed offsets."""

    async def member_count(self, group: str) -> int:
        """How many members a group has; none if it is unknown."""

    async def set_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Store where a group without members goes on.

        Raises:
            CommitRefusedError: the group has members.
        """

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition."""

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset still in each log."""


class Broker(Protocol):
    """Where clients come from; nothing connects before a client's `start`."""

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> Consumer:
        """A new member of a group."""

    def producer(self, config: ProducerConfig) -> Producer:
        """A new producer."""

    def admin(self) -> Admin:
        """A new admin client."""
