"""Sets the positions of newly assigned partitions, and tracks which have none yet."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from streamapp.brokers.kafka.connection import Connection, kafka_partition
from streamapp.brokers.kafka.failures import reported
from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition

_logger = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 10.0  # a broker answers within milliseconds; longer means an outage
_RETRY_SECONDS = 0.5


class PositionTracker:
    """Sets each newly assigned partition to its committed offset, or as `offset_reset` says.

    The client could do this itself, but its `auto_offset_reset` would also move positions silently
    that retention has overtaken. So that is switched off, and this is done here.

    Attributes:
        without_position: assigned partitions that have no position yet.
        committed: what the group had committed when the positions were set.
    """

    def __init__(self, config: ConsumerConfig, connection: Connection) -> None:
        self._config = config
        self._connection = connection
        self._all_set = asyncio.Event()
        self._error: BrokerError | None = None
        self.without_position: set[TopicPartition] = set()
        self.committed: dict[TopicPartition, CommittedOffset] = {}

    def clear(self) -> None:
        """Forget all partitions, because they were given back."""
        self.without_position.clear()
        self.committed.clear()

    def note_seek(self, partition: TopicPartition) -> None:
        """Note that the partition has a position now, set with `seek`."""
        self.without_position.discard(partition)

    async def wait_for(self, partition: TopicPartition) -> None:
        """Wait until the partition has a position."""
        if partition in self.without_position:
            await self._all_set.wait()

    async def wait_for_all(self, timeout_seconds: float) -> float:
        """Wait until all partitions have a position or the time is over.

        Returns:
            Seconds that are left of the time.
        """
        deadline = time.monotonic() + timeout_seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._all_set.wait()
        return max(0.0, deadline - time.monotonic())

    def raise_error(self) -> None:
        """Raise the error because of which positions could not be set, once.

        Raises:
            BrokerError: such as a missing ACL; timeouts are not raised, as retrying can help there.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def set_all(
        self, partitions: frozenset[TopicPartition], client: Callable[[], Any | None]
    ) -> None:
        """Set the positions of these partitions, trying again until that succeeds.

        The group cannot rebalance meanwhile, so partitions of topics that do not exist any more are
        left without one: Kafka answers for them never, and the next rebalance takes them away.

        Args:
            partitions: all assigned partitions.
            client: returns the running client, or `None` once it was stopped.
        """
        self.without_position = set(partitions)
        self._all_set.clear()
        gone: set[TopicPartition] = set()
        while self.without_position - gone and (running := client()) is not None:
            try:
                await self._set_positions(running, self.without_position - gone)
            except BrokerError as error:
                _logger.warning("%s; trying again", error)
                if isinstance(error.__cause__, TimeoutError):
                    gone = await self._of_deleted_topics(running)
                else:
                    self._error = error  # the next fetch raises it
                await asyncio.sleep(_RETRY_SECONDS)
        self._all_set.set()

    async def _of_deleted_topics(self, client: Any) -> set[TopicPartition]:
        """The partitions whose topics Kafka does not have; none if it does not answer."""
        metadata = client._client  # noqa: SLF001 - there is no public way
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                is_fresh = await metadata.force_metadata_update()
        except TimeoutError:
            return set()
        known = metadata.cluster.topics(exclude_internal_topics=False)
        return {one for one in self.without_position if is_fresh and one.topic not in known}

    async def _set_positions(self, client: Any, partitions: Collection[TopicPartition]) -> None:
        waiting = [kafka_partition(partition) for partition in partitions]
        doing = f"group {self._config.group!r}: reading committed offsets"
        with reported(doing, self._connection.address):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                # The client's own `committed` returns no metadata, and asks for each partition in
                # a request of its own.
                coordinator = client._coordinator  # noqa: SLF001 - there is no public way
                found = await coordinator.fetch_committed_offsets(waiting)
                committed = {
                    TopicPartition(*place): CommittedOffset(kept.offset, kept.metadata or "")
                    for place, kept in found.items()
                    if kept.offset >= 0
                }
                start = {kafka_partition(p): kept.offset for p, kept in committed.items()}
                fresh = [partition for partition in waiting if partition not in start]
                earliest = self._config.offset_reset == "earliest"
                ask = client.beginning_offsets if earliest else client.end_offsets
                start |= await ask(fresh)
            self.committed |= committed
            for partition, offset in start.items():
                if partition in self.without_position:  # no `seek` in the meantime
                    client.seek(partition, offset)
                    self.note_seek(TopicPartition(*partition))
