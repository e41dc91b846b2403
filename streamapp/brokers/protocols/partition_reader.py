"""Reads partitions without a group."""

from collections.abc import Collection, Mapping
from typing import Protocol

from streamapp.brokers.protocols.fetched import FetchedRecords
from streamapp.record import TopicPartition


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
