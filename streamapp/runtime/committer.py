"""Commits the frontier of every open partition, by time."""

import asyncio
import logging
from collections.abc import Mapping

from streamapp.brokers.protocols import CommittedOffset, Consumer
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.partition import Partition

log = logging.getLogger(__name__)


class Committer:
    """Stores how far the segment has come.

    Args:
        consumer: the member of the group.
        partitions: the open partitions; kept by the segment.
        clock: when to commit.
        metrics: counters of the segment.
        interval_seconds: between commits.
        deadline_seconds: longest wait for one; a failed one is made good by the next.
    """

    def __init__(
        self,
        consumer: Consumer,
        partitions: Mapping[TopicPartition, Partition],
        clock: Clock,
        metrics: StageMetrics,
        *,
        interval_seconds: float = 1.0,
        deadline_seconds: float = 5.0,
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._clock = clock
        self._metrics = metrics
        self._interval_seconds = interval_seconds
        self._deadline_seconds = deadline_seconds

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._clock.sleep(self._interval_seconds)
            await self.commit()

    async def commit(self) -> bool:
        """Commit what has moved since the last time; whether nothing is left to commit."""
        moved = {
            partition: position
            for partition in self._partitions.values()
            if (position := partition.frontier.position) is not None
            and position != partition.committed
        }
        if not moved:
            return True
        offsets = {partition.name: CommittedOffset(at) for partition, at in moved.items()}
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await self._consumer.commit(offsets)
        except (BrokerError, TimeoutError) as error:
            self._metrics.commit_failures += 1
            log.warning(
                "stage %s of %s could not commit, the next commit will make it good: %r",
                self._metrics.stage,
                self._metrics.pipeline,
                error,
            )
            return False
        for partition, position in moved.items():
            partition.committed = position
        self._metrics.commits += 1
        self._metrics.last_commit_at = self._clock.monotonic()
        return True
