"""Reads partitions with aiokafka without being a member of a group."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetOutOfRangeError
from aiokafka.errors import UnsupportedCodecError

from streamapp.brokers.kafka.connection import Connection, kafka_partition
from streamapp.brokers.kafka.failures import reason, reported
from streamapp.brokers.kafka.fetches import UnparsedError, take
from streamapp.brokers.kafka.position_tracker import CALL_TIMEOUT_SECONDS
from streamapp.brokers.protocols import CLIENT_ID, FetchedRecords
from streamapp.errors import (
    BrokerError,
    ConfigurationError,
    OffsetOutOfRangeError,
    UnreadableRecordError,
)
from streamapp.record import TopicPartition

_MIN_PARTITION_FETCH_BYTES = 16 * 1024
_MAX_PARTITION_FETCH_BYTES = 1024 * 1024
_FETCH_MAX_WAIT_MS = 200


class KafkaPartitionReader:
    """Reads partitions that it is told of; Kafka knows of no group of it.

    Args:
        connection: the cluster.
        max_prefetch_bytes: most bytes that the client may buffer before they are asked for; of one
            partition at least 16 KiB and at most 1 MiB.
    """

    def __init__(self, connection: Connection, max_prefetch_bytes: int) -> None:
        self._connection = connection
        self._max_prefetch_bytes = max_prefetch_bytes
        self._client: Any = None

    async def start(self, starts: Mapping[TopicPartition, int]) -> None:
        """Connect, and begin to read these partitions at these offsets.

        Raises:
            BrokerError: Kafka cannot be reached.
        """
        share = self._max_prefetch_bytes // max(1, len(starts))
        client = AIOKafkaConsumer(
            **self._connection.options(),
            group_id=None,
            client_id=CLIENT_ID,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_bytes=self._max_prefetch_bytes,
            max_partition_fetch_bytes=min(
                max(share, _MIN_PARTITION_FETCH_BYTES), _MAX_PARTITION_FETCH_BYTES
            ),
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        )
        await self._connection.start(client.start, client.stop, (client,))
        self._client = client
        client.assign([kafka_partition(place) for place in starts])
        for place, offset in starts.items():
            client.seek(kafka_partition(place), offset)

    async def stop(self) -> None:
        """Close the connections, within the deadline of the settings."""
        client, self._client = self._client, None
        if client is not None:
            await self._connection.stop(client.stop, (client,))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        self._running().seek(kafka_partition(partition), offset)

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""
        client = self._running()
        with reported(f"position of {partition}", self._connection.address):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                return int(await client.position(kafka_partition(partition)))

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        client = self._running()
        with reported("asking for offsets", self._connection.address):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                found: Mapping[TopicPartition, int] = await client.beginning_offsets(
                    [kafka_partition(place) for place in partitions]
                )
        return found

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions, and move their positions behind them."""
        client = self._running()
        named = [kafka_partition(place) for place in partitions]
        with reported("reading", self._connection.address):
            try:
                taken = await take(client, named, max_records, timeout_seconds)
            except KafkaOffsetOutOfRangeError as error:
                raise _out_of_range(error) from error
            except UnparsedError as error:
                raise _unreadable(error) from error
            except UnsupportedCodecError as error:
                raise ConfigurationError(
                    f"reading failed: {reason(error)}; install cramjam, which reads snappy, lz4 and"
                    " zstd"
                ) from error
        return {TopicPartition(*place): records for place, records in taken.items()}

    def _running(self) -> Any:
        if self._client is None:
            raise BrokerError("this reader is not running: start it before using it")
        return self._client


def _out_of_range(error: Any) -> OffsetOutOfRangeError:
    offsets = {TopicPartition(*place): offset for place, offset in error.args[0].items()}
    place, offset = next(iter(offsets.items()))
    return OffsetOutOfRangeError(
        f"offset {offset} of topic {place.topic!r} partition {place.partition} is not in the log",
        offsets=offsets,
    )


def _unreadable(error: UnparsedError) -> UnreadableRecordError:
    place = TopicPartition(*error.partition)
    return UnreadableRecordError(
        f"the record at offset {error.offset} of topic {place.topic!r} partition {place.partition}"
        f" cannot be read: {reason(error.__cause__ or error)}",
        partition=place,
        offset=error.offset,
    )
