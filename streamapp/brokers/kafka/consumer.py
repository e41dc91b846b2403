"""A group member that uses aiokafka.

Hot path: records are returned as a compiled parser found them; a fetch makes one tuple
for each partition that is asked for.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetOutOfRangeError
from aiokafka.errors import UnsupportedCodecError
from aiokafka.structs import TopicPartition as KafkaTopicPartition

from streamapp.brokers.kafka.commits import commit
from streamapp.brokers.kafka.connection import Connection, kafka_partition
from streamapp.brokers.kafka.ended_tasks import require_tasks
from streamapp.brokers.kafka.failures import (
    LOST_MEMBERSHIP,
    commit_refused,
    reason,
    reported,
    unreadable,
)
from streamapp.brokers.kafka.fetches import UnparsedError, arrived, take
from streamapp.brokers.kafka.forced_close import retrieve_errors
from streamapp.brokers.kafka.parsing import replace_parser
from streamapp.brokers.kafka.position_tracker import CALL_TIMEOUT_SECONDS, PositionTracker
from streamapp.brokers.kafka.request_client import RequestClient
from streamapp.brokers.protocols import (
    CommittedOffset,
    ConsumerConfig,
    FetchedRecords,
    RebalanceListener,
)
from streamapp.errors import (
    BrokerError,
    CommitRefusedError,
    ConfigurationError,
    OffsetOutOfRangeError,
)
from streamapp.record import TopicPartition

_logger = logging.getLogger(__name__)

# Asked for when no partition is ready: the client reads an empty list as all partitions.
_NEVER_ASSIGNED = KafkaTopicPartition("", -1)
# Smaller fetches cost a request for a few records. Larger ones only take memory: 1 MiB is also
# Kafka's default.
_MIN_PARTITION_FETCH_BYTES = 16 * 1024
_MAX_PARTITION_FETCH_BYTES = 1024 * 1024
# A broker answers a fetch of idle partitions after this time at the latest. Until then, busy
# partitions of the same broker cannot be fetched, so it is shorter than Kafka's default of 500 ms.
_FETCH_MAX_WAIT_MS = 200


class KafkaConsumer:
    """A member of a consumer group. It reads records of committed transactions only.

    Prefetch: the client buffers one response for each partition. So `max_prefetch_bytes` is divided
    among all partitions of the topics, with at least 16 KiB and at most 1 MiB for each. A batch
    that is larger than this is sent by the broker all the same.

    `fetch` must not be called while another `fetch` runs, unless neither waits.
    """

    def __init__(
        self, config: ConsumerConfig, listener: RebalanceListener, connection: Connection
    ) -> None:
        self._config = config
        self._listener = listener
        self._connection = connection
        self._client: Any = None
        self._topics = frozenset(config.topics)
        self._held: frozenset[TopicPartition] = frozenset()
        self._positions = PositionTracker(config, connection)

    async def start(self) -> None:
        """Connect and begin to join the group; the listener is told of the assignment.

        Raises:
            BrokerError: Kafka cannot be reached.
            TopicError: a topic does not exist.
        """
        requests = RequestClient(self._connection)
        await requests.start()
        try:
            required = self._config.topics
            counts = await requests.partition_counts(required) if required else {}
            others = self._topics.difference(required)
            found = await requests.topics(others) if others else {}
        finally:
            await requests.stop()
        partitions = sum(counts.values()) + sum(len(one["partitions"]) for one in found.values())
        client = self._make_client(partitions)
        await self._connection.start(client.start, client.stop, (client,))
        self._client = client
        replace_parser(client)
        # Subscribed after the start, because `start` of a subscribed client waits for a rebalance.
        # Not with the client's `subscribe`, which takes no empty list.
        client._subscription.subscribe(set(self._topics), _Listener(self))  # noqa: SLF001 - see above
        client._client.set_topics(self._topics)  # noqa: SLF001 - see above

    async def stop(self) -> None:
        """Leave the group and close the connections, within the deadline of the settings."""
        client, self._client = self._client, None
        if client is not None:
            await self._connection.stop(client.stop, (client,))
        self._held = frozenset()
        self._positions.clear()

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are assigned to this member now: none during a rebalance."""
        return self._held

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
            ConfigurationError: the library of a compression codec is not installed.
            ConsumerEndedError: a background task of the client has ended, and nothing starts it.
        """
        client = self._running()
        require_tasks(client, self._config.group)
        self._positions.raise_error()
        named = self._fetchable(partitions)
        if partitions and not named and self._positions.without_position:
            timeout_seconds = await self._positions.wait_for_all(timeout_seconds)
            named = self._fetchable(partitions)
        doing = f"group {self._config.group!r}: fetching"
        with reported(doing, self._connection.address):
            try:
                taken = await take(client, named or [_NEVER_ASSIGNED], max_records, timeout_seconds)
            except KafkaOffsetOutOfRangeError as error:
                raise self._out_of_range(error) from error
            except UnparsedError as error:
                raise unreadable(
                    error.partition, error.offset, self._config.group, error.__cause__ or error
                ) from error
            except UnsupportedCodecError as error:
                raise ConfigurationError(
                    f"{doing} failed: {reason(error)}; install cramjam, which reads snappy, lz4 "
                    "and zstd"
                ) from error
        return {TopicPartition(*partition): records for partition, records in taken.items()}

    async def wait_for_records(self, timeout_seconds: float) -> Collection[TopicPartition]:
        """Wait until records come, or for the timeout; return the partitions that may have some.

        Raises:
            ConsumerEndedError: a background task of the client has ended, and nothing starts it.
        """
        client = self._running()
        require_tasks(client, self._config.group)
        with reported(f"group {self._config.group!r}: fetching", self._connection.address):
            names = await arrived(client, timeout_seconds)
        return [TopicPartition(*name) for name in names]

    def _fetchable(self, partitions: Collection[TopicPartition]) -> list[KafkaTopicPartition]:
        held, missing = self._held, self._positions.without_position
        return [kafka_partition(p) for p in partitions if p in held and p not in missing]

    async def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Store the offsets at which the group resumes, within the session timeout.

        Those of a topic that was deleted are left out.

        Raises:
            CommitRefusedError: a partition is not assigned to this member, or a rebalance has begun
                a new generation of the group.
            BrokerError: nothing was stored, for example because metadata exceeds 4,096 bytes.
        """
        client = self._running()
        if not offsets:
            return
        lost = [partition for partition in offsets if partition not in self._held]
        if lost:
            raise CommitRefusedError(
                f"group {self._config.group!r}: cannot commit {lost[0]}, which this member does "
                "not hold; its new owner resumes at the last commit"
            )
        payload = {kafka_partition(p): (c.offset, c.metadata) for p, c in offsets.items()}
        with reported(f"group {self._config.group!r}: committing", self._connection.address):
            try:
                # Retries have no end of their own. A member that gets no answer for the length of a
                # session has been evicted from the group anyway.
                async with asyncio.timeout(self._config.session_timeout_seconds):
                    await commit(client, payload)
            except LOST_MEMBERSHIP as error:
                raise commit_refused(error, self._config.group) from error
            except (TimeoutError, asyncio.CancelledError):
                # The client shields this call from cancellation.
                retrieve_errors(client._coordinator, "_do_commit_offsets")  # noqa: SLF001 - the shielded call
                raise

    def committed(self, partition: TopicPartition) -> CommittedOffset | None:
        """What the group had committed when the partition was assigned; `None` without a commit."""
        return self._positions.committed.get(partition)

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""
        client = self._running()
        self._check_held(partition)
        with reported(f"position of {partition}", self._connection.address):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await self._positions.wait_for(partition)
                position: int = await client.position(kafka_partition(partition))
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset; discards what was prefetched of the partition."""
        client = self._running()
        self._check_held(partition)
        with reported(f"seeking in {partition}", self._connection.address):
            client.seek(kafka_partition(partition), offset)
        self._positions.note_seek(partition)

    def subscribe(self, topics: Collection[str]) -> None:
        """Read these topics from the next rebalance on, and no others; `request_rebalance` asks."""
        self._topics = frozenset(topics)

    async def request_rebalance(self) -> None:
        """Have the group rebalance, if this member leads it or subscribes to other topics now.

        Raises:
            BrokerError: Kafka does not answer.
        """
        client = self._running()
        doing = f"group {self._config.group!r}: asking for a rebalance"
        with reported(doing, self._connection.address):
            coordinator = client._coordinator  # noqa: SLF001 - there is no public way
            # Only the leader assigns. A group rebalances when it joins again, or another member
            # that subscribes to other topics than before.
            is_leader = coordinator._group_subscription is not None  # noqa: SLF001 - set by the leader
            if not is_leader and client.subscription() == self._topics:
                return
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await client._client.force_metadata_update()  # noqa: SLF001 - there is no public way
            coordinator.request_rejoin()

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these partitions; discards what was prefetched of them."""
        self._call_for("pause", partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these partitions again."""
        self._call_for("resume", partitions)

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return await self._offsets(self._running().beginning_offsets, partitions)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Last stable offset of each partition."""
        return await self._offsets(self._running().end_offsets, partitions)

    async def _revoke(self) -> None:
        try:
            await self._listener.on_partitions_revoked(self._held)
        finally:
            self._held = frozenset()
            self._positions.clear()
            self._change_subscription()

    def _change_subscription(self) -> None:
        """Join with the topics that are wanted now; called while partitions are revoked.

        The client's own `subscribe` would drop its partitions first, so that what was finished
        could not be committed any more, and would join twice. What it knows of topics is changed
        here, between the revocation and the join.
        """
        client = self._client
        if client is None or client.subscription() == self._topics:
            return
        client._subscription.subscription._topics = self._topics  # noqa: SLF001 - there is no public way
        client._client.set_topics(self._topics)  # noqa: SLF001 - asks who leads their partitions

    async def _assign(self, partitions: Collection[KafkaTopicPartition]) -> None:
        self._held = frozenset(TopicPartition(*partition) for partition in partitions)
        if self._topics != frozenset(self._config.topics):
            self._divide_prefetch()
        await self._positions.set_all(self._held, lambda: self._client)
        await self._listener.on_partitions_assigned(self._held)

    def _call_for(self, action: str, partitions: Collection[TopicPartition]) -> None:
        """Call `pause` or `resume` of the client."""
        client = self._running()
        for partition in partitions:
            self._check_held(partition)
        with reported(f"{action} of {list(partitions)}", self._connection.address):
            getattr(client, action)(*map(kafka_partition, partitions))

    async def _offsets(
        self, ask: Any, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        with reported("asking for offsets", self._connection.address):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                found: Mapping[TopicPartition, int] = await ask(
                    [kafka_partition(partition) for partition in partitions]
                )
        return found

    def _out_of_range(self, error: Any) -> OffsetOutOfRangeError:
        offsets = {
            TopicPartition(*partition): offset for partition, offset in error.args[0].items()
        }
        partition, offset = next(iter(offsets.items()))
        return OffsetOutOfRangeError(
            f"offset {offset} of topic {partition.topic!r} partition {partition.partition} is not "
            f"in the log at {self._connection.address}: seek to an offset that is",
            offsets=offsets,
        )

    def _check_held(self, partition: TopicPartition) -> None:
        if partition not in self._held:
            raise BrokerError(
                f"group {self._config.group!r}: this member does not hold {partition}; wait for "
                "its assignment"
            )

    def _running(self) -> Any:
        if self._client is None:
            raise BrokerError("this consumer is not running: start it before using it")
        return self._client

    def _divide_prefetch(self) -> None:
        """Divide the prefetch anew, because other topics are read than at the start."""
        client = self._client
        if client is not None:
            counts = map(client.partitions_for_topic, self._topics)
            share = self._share(sum(len(known or ()) for known in counts))
            client._fetcher._max_partition_fetch_bytes = share  # noqa: SLF001 - there is no public way

    def _share(self, partitions: int) -> int:
        """Bytes that may be fetched of one partition at a time."""
        share = self._config.max_prefetch_bytes // max(1, partitions)
        return min(max(share, _MIN_PARTITION_FETCH_BYTES), _MAX_PARTITION_FETCH_BYTES)

    def _make_client(self, partitions: int) -> Any:
        config = self._config
        session_ms = int(config.session_timeout_seconds * 1000)
        rebalance_ms = int(config.rebalance_timeout_seconds * 1000)
        # A heartbeat a fifth of the session: several can be lost before the member is evicted. A
        # join request is answered when the rebalance ends, so requests may take longer than one.
        return AIOKafkaConsumer(
            **self._connection.options(),
            group_id=config.group,
            group_instance_id=config.group_instance_id,
            client_id=config.client_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 5,
            rebalance_timeout_ms=rebalance_ms,
            request_timeout_ms=max(40_000, rebalance_ms + 10_000),
            max_poll_interval_ms=int(config.max_poll_interval_seconds * 1000),
            fetch_max_bytes=config.max_prefetch_bytes,
            max_partition_fetch_bytes=self._share(partitions),
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped base
    """Passes the client's callbacks to the consumer; the client logs errors that they raise."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, _revoked: set[KafkaTopicPartition]) -> None:
        await self._consumer._revoke()  # noqa: SLF001 - this class is part of the consumer

    async def on_partitions_assigned(self, assigned: set[KafkaTopicPartition]) -> None:
        await self._consumer._assign(assigned)  # noqa: SLF001 - this class is part of the consumer
