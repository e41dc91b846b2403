"""Reads partitions of the memory broker without being a member of a group."""

import asyncio
from collections.abc import Collection, Mapping

from streamapp.brokers.fetched import FetchedList
from streamapp.brokers.memory.network import Network
from streamapp.brokers.memory.reading import read_records
from streamapp.brokers.memory.topics import TopicStore
from streamapp.brokers.protocols import FetchedRecords
from streamapp.errors import OffsetOutOfRangeError, UnreadableRecordError
from streamapp.record import TopicPartition


class MemoryPartitionReader:
    """Reads partitions that it is told of; a fetch returns what is there, and waits for nothing."""

    def __init__(self, topics: TopicStore, network: Network) -> None:
        self._topics = topics
        self._network = network
        self._positions: dict[TopicPartition, int] = {}

    async def start(self, starts: Mapping[TopicPartition, int]) -> None:
        """Begin to read these partitions at these offsets.

        Raises:
            BrokerError: the network is down.
        """
        self._network.connect()
        self._positions = dict(starts)

    async def stop(self) -> None:
        """Forget the positions."""
        self._positions = {}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        """Offset at which the next fetch of this partition starts."""
        return self._positions[partition]

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """First offset that each log still has."""
        return {place: self._topics.log(place).start_offset for place in partitions}

    async def fetch(
        self,
        partitions: Collection[TopicPartition],
        *,
        max_records: int,
        timeout_seconds: float,  # noqa: ARG002 - nothing is waited for
    ) -> Mapping[TopicPartition, FetchedRecords]:
        """Return records of these partitions, and move their positions behind them."""
        await asyncio.sleep(0)  # so that a caller that asks in a loop lets other tasks run
        taken: dict[TopicPartition, FetchedRecords] = {}
        room = max_records
        for place in partitions:
            try:
                records = self._take(place, room)
            except (OffsetOutOfRangeError, UnreadableRecordError):
                if taken:
                    break  # returns these records; the next fetch raises the error
                raise
            if len(records):
                taken[place] = records
                room -= len(records)
            if not room:
                break
        return taken

    def _take(self, place: TopicPartition, room: int) -> FetchedRecords:
        records, behind = read_records(self._topics.log(place), self._positions[place], room)
        self._positions[place] = behind
        return FetchedList(records)
