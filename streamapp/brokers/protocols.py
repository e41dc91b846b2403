"""What the runtime needs of a broker: consumer, producer, admin.

Two brokers implement these protocols, `memory` and `kafka`; both pass the tests in tests/contract.
Every call may raise `streamapp.errors.BrokerError`. A call that may wait long takes a timeout.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from streamapp.brokers.compression import Compression
from streamapp.record import Headers, Record, TopicPartition

CLIENT_ID = "streamapp"
"""What consumers of stages call themselves, so that others in their groups are seen."""

_NO_LIMIT = 2**63 - 1  # how Kafka says it

MAX_COMMIT_METADATA_BYTES = 4096
"""Default of Kafka's `offset.metadata.max.bytes`; a commit with a longer text fails."""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """What a group has committed for a partition.

    Attributes:
        offset: where the group resumes reading.
        metadata: a text of our own that Kafka stores with the offset, at most 4,096 bytes.
    """

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a consumer group.

    Attributes:
        client_id: what its client calls itself; several may have the same.
        host: where it connects from.
        partitions: what is assigned to it; `None` if that is not known, as during a rebalance.
    """

    client_id: str
    host: str
    partitions: frozenset[TopicPartition] | None


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create.

    Attributes:
        name: name of the topic.
        partitions: number of partitions.
        replication_factor: number of copies of each partition; `None` for the broker's default.
        config: topic configuration by Kafka's names, such as `max.message.bytes`.
    """

    name: str
    partitions: int
    replication_factor: int | None = None
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
        """Largest batch, in bytes, that the topic accepts."""
        return int(self.config["max.message.bytes"])

    @property
    def max_ahead_ms(self) -> int | None:
        """How far ahead of the broker's clock timestamps may be; `None` for any."""
        return self._timestamp_limit("message.timestamp.after.max.ms")

    @property
    def max_age_ms(self) -> int | None:
        """How far behind the broker's clock timestamps may be; `None` for any."""
        return self._timestamp_limit("message.timestamp.before.max.ms")

    def _timestamp_limit(self, name: str) -> int | None:
        # A broker that sets timestamps itself takes any; one before Kafka 3.6 has no such limit.
        value = int(self.config.get(name, _NO_LIMIT))
        if self.config.get("message.timestamp.type") == "LogAppendTime" or value == _NO_LIMIT:
            return None
        return value

    @property
    def deletes_old(self) -> bool:
        """Whether the topic deletes records by their age or by its size."""
        return "delete" in self.config.get("cleanup.policy", "delete")

    @property
    def retention_ms(self) -> int | None:
        """Age at which the topic deletes records, by their timestamps; `None` for never."""
        milliseconds = int(self.config.get("retention.ms", "-1"))
        return milliseconds if self.deletes_old and milliseconds >= 0 else None

    @property
    def compression_type(self) -> str:
        """How the broker stores batches: with a codec, `uncompressed`, or as they come: `producer`.

        It checks the size of a batch again after it has changed the compression.
        """
        return self.config.get("compression.type", "producer")

    @property
    def needs_keys(self) -> bool:
        """Whether the topic refuses records without a key, because it is compacted."""
        return "compact" in self.config.get("cleanup.policy", "")


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


@dataclass(frozen=True, slots=True)
class ProducerConfig:
    """How batches are written: always idempotent, always acknowledged by all in-sync replicas.

    Attributes:
        max_batch_bytes: size at which a batch is full; an empty batch accepts one record of any
            size, so the caller must check sizes before it appends.
        request_timeout_seconds: deadline of one request to the broker.
    """

    max_batch_bytes: int = 512 * 1024
    request_timeout_seconds: float = 40.0


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


class FetchedRecords(Protocol):
    """Records of one partition that were fetched together, in the order of their offsets.

    `first` and `last` are indexes into these records, and bound a slice as in Python: `last`
    itself is not part of it.
    """

    @property
    def offsets(self) -> Sequence[int]:
        """Offsets of the records, in rising order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Record]: ...

    def __getitem__(self, index: int) -> Record: ...

    @property
    def kept_bytes(self) -> int:
        """Fetched bytes that stay in memory as long as this object; 0 if records have their own."""

    def value_bytes(self, first: int, last: int) -> int:
        """Total bytes of the values of records `first` to `last - 1`."""

    def timestamps(self, first: int, last: int) -> Sequence[int]:
        """Timestamps of records `first` to `last - 1`, in milliseconds since the epoch."""

    def before(self, offset: int) -> "FetchedRecords":
        """The records below this offset."""

    def without(self, offsets: Collection[int]) -> "FetchedRecords":
        """The records with none of these offsets."""


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


class PartitionReader(Protocol):
    """Reads partitions without being a member of a group, so nobody is disturbed by it.

    It reads records of committed transactions only, and commits nothing.
    """

    async def start(self, starts: Mapping[TopicPartition, int]) -> None:
        """Connect, and begin to read these partitions at these offsets."""

    async def stop(self) -> None:
        """Close the connections."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions, and move their positions behind them.

        Raises:
            OffsetOutOfRangeError: a position is not in the log.
            UnreadableRecordError: the next record cannot be parsed; earlier calls have returned all
                records before it.
            ConfigurationError: records cannot be decompressed, as a library is not installed.
        """


BatchAppend: TypeAlias = Callable[[int, int, bytes | None, bytes | None, Headers], object | None]
"""Adds a record to a batch. Takes its index in the batch, timestamp, key, value, headers.

`None` means that the batch is full and the record was not added.
"""


class BatchBuilder(Protocol):
    """A batch of records for one partition, each encoded when it is appended.

    There are two ways to fill a batch, which must not be mixed: `append`, or `appender` followed
    by `seal`, which costs less.
    """

    @property
    def appender(self) -> BatchAppend:
        """A function that adds a record; the caller counts the index from 0.

        For the Kafka broker, headers must be a list.
        """

    def seal(self, records: int) -> None:
        """Accept no more records.

        Args:
            records: how many were appended with `appender`.
        """

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = ...,
    ) -> object | None:
        """Append a record; `None` means that the batch is full and the record was not added."""

    def record_count(self) -> int:
        """Records in the batch."""

    def size(self) -> int:
        """Encoded bytes so far, without compression."""


class Producer(Protocol):
    """An idempotent producer that sends whole batches.

    After a failed batch a producer cannot be used any more: stop it and make a new one.
    """

    async def start(self) -> None:
        """Connect and get a producer id."""

    async def stop(self) -> None:
        """Close at once, without sending what is unsent: await the acknowledgements before."""

    async def partition_count(self, topic: str) -> int:
        """Number of partitions of the topic.

        Raises:
            TopicError: there is no such topic.
        """

    def create_batch(
        self, max_bytes: int | None = None, for_large: Sequence[Compression] = ()
    ) -> BatchBuilder:
        """Make an empty batch, full at `max_batch_bytes`, or at `max_bytes` if that is less.

        It is compressed as the broker is told to, if that makes it smaller. One record alone may be
        larger than `max_bytes`: then the first of the codecs `for_large` is used that makes the
        batch small enough.
        """

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> "asyncio.Future[object]":
        """Close a batch and send it. The future ends when the batch is acknowledged or has failed.

        It fails with a `BatchRefusedError` if the broker refused it for what is in it.

        Batches for one partition are written in the order of these calls.
        """


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record that is to be written.

    Attributes:
        place: topic and partition that it goes to.
        key, value, headers: what is written.
        timestamp_ms: milliseconds since the epoch; `None` is the present.
        max_batch_bytes: largest batch that the topic takes, if that is known: a record that is
            larger is compressed.
    """

    place: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    max_batch_bytes: int | None = None


class TransactionalProducer(Protocol):
    """Writes records in transactions: readers see all records of one, or none.

    After an error it cannot be used any more: stop it. Whether the transaction that failed was
    committed is known only to who starts the next producer with the same id, and reads then.
    """

    async def start(self) -> None:
        """Connect, end what a producer with this id has left open, and let it write no more."""

    async def stop(self) -> None:
        """Close; an open transaction is aborted."""

    async def write(self, records: Sequence[OutgoingRecord]) -> Mapping[TopicPartition, int]:
        """Write records in one transaction, and wait until it is committed.

        Readers may see them a little later.

        Returns:
            The offset behind the last of them in each partition; without a partition of which it
            is not known, because the client has sent something twice.

        Raises:
            FencedError: another producer with this id has started.
            BatchRefusedError: a topic refuses them for what is in them.
            BrokerError: they could not be written, or nobody knows whether they were.
        """


class Admin(Protocol):
    """Reads and changes topics and the committed offsets of groups."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Close the connections."""

    async def list_topics(self) -> frozenset[str]:
        """Names of all topics except internal ones."""

    async def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        """Descriptions of the named topics that exist."""

    async def partition_counts(self, names: Collection[str]) -> Mapping[str, int]:
        """Number of partitions of those of the named topics that exist."""

    async def create_topics(self, topics: Collection[TopicSpec]) -> None:
        """Create topics and wait until they can be used.

        Raises:
            TopicError: a topic exists already, or its name or configuration is refused.
        """

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with all their records."""

    async def add_partitions(self, topic: str, total: int) -> None:
        """Raise the number of partitions to `total`."""

    async def alter_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set these configuration values of a topic; other values stay."""

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Delete the records of each partition before the given offset."""

    async def committed_offsets(self, group: str) -> Mapping[TopicPartition, CommittedOffset]:
        """Committed offsets of the group, with their metadata; empty for an unknown group."""

    async def list_groups(self) -> frozenset[str]:
        """Names of all consumer groups that have members or committed offsets."""

    async def member_count(self, group: str) -> int:
        """Number of members of a group; 0 for an unknown group."""

    async def members(self, group: str) -> Sequence[GroupMember]:
        """The members of a group as they are now; none of an unknown group."""

    async def subscribed_topics(self, group: str) -> frozenset[str]:
        """Topics that members of a group subscribe to; none for an unknown group."""

    async def set_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Set the committed offsets of a group that has no members.

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
        """First offset that each log still has."""

    async def offsets_from(
        self, partitions: Collection[TopicPartition], timestamp_ms: int
    ) -> Mapping[TopicPartition, int]:
        """The first offset of each partition whose record has this timestamp or a later one.

        Timestamps need not rise, so records behind it may be older; none before it is as late. It
        is the end of the log if there is no such record.

        Args:
            partitions: the partitions.
            timestamp_ms: milliseconds since the epoch, not negative.
        """


class Broker(Protocol):
    """Makes clients; a client connects when its `start` is called."""

    @property
    def compression(self) -> Compression | None:
        """How its producers compress batches; `None` for not at all."""

    def consumer(self, config: ConsumerConfig, listener: RebalanceListener) -> Consumer:
        """Make a consumer, which joins its group when it starts."""

    def producer(self, config: ProducerConfig) -> Producer:
        """Make a producer."""

    def admin(self) -> Admin:
        """Make an admin client."""


class ReadingBroker(Broker, Protocol):
    """A broker whose partitions can be read without a group."""

    def partition_reader(self, max_prefetch_bytes: int = 16 * 1024 * 1024) -> PartitionReader:
        """Make a reader, which connects when it starts.

        Args:
            max_prefetch_bytes: most bytes that the client may buffer before they are asked for.
        """


class TransactionalBroker(ReadingBroker, Protocol):
    """A broker that has transactions too."""

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        """Make a producer that writes in transactions; of one id, only the last started does."""
