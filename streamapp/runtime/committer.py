"""Commits the frontier of every open partition, and which offsets beyond it are finished."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from streamapp.brokers.protocols import CommittedOffset
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.commit_metadata import encode
from streamapp.runtime.config import RuntimeConfig
from streamapp.runtime.partition import Partition

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 5.0
"""Longest wait for one commit.

Kafka answers within milliseconds. Longer waits would delay the next commit, which stores more; and
a stop waits for its last commit.
"""


class Committer:
    """Commits at regular intervals, and earlier when many records are finished.

    A failed commit is not repeated: the next one stores its offsets too. When no commit has
    succeeded for `commit_deadline_seconds`, the group has most likely evicted this member. Then
    `on_lost` is called, so that it can join again.

    Args:
        assignment: the open partitions and their consumer.
        clock: waits between commits.
        config: the interval, the number of records and the deadline.
        on_lost: called when no commit has succeeded for the deadline.
    """

    def __init__(
        self,
        assignment: Assignment,
        clock: Clock,
        config: RuntimeConfig,
        *,
        on_lost: Callable[[], None],
    ) -> None:
        self._assignment = assignment
        self._metrics = assignment.metrics
        self._clock = clock
        self._config = config
        self._on_lost = on_lost
        self._uncommitted = 0
        self._failing_since: float | None = None
        self._due = asyncio.Event()

    def finished(self, records: int) -> None:
        """Count finished records, and commit soon if they are many.

        Args:
            records: how many more are finished.
        """
        self._uncommitted += records
        if self._uncommitted >= self._config.commit_records:
            self._due.set()

    def commit_soon(self) -> None:
        """Commit as soon as possible, without waiting for the interval."""
        self._due.set()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._wait_until_due()
            if not await self.commit():
                self._report_lost_if_overdue()

    async def commit(self) -> bool:
        """Commit what has changed since the last commit; false if that failed."""
        self._uncommitted = 0
        self._due.clear()
        moved = {
            partition: offset
            for partition in self._assignment.partitions.values()
            if (offset := _to_commit(partition)) is not None and offset != partition.committed
        }
        if not moved:
            self._failing_since = (
                None  # the partitions of a failed commit are not assigned any more
            )
            return True
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await self._assignment.consumer.commit(_by_name(moved))
        except (BrokerError, TimeoutError) as error:
            self._metrics.commit_failures += 1
            if self._failing_since is None:
                self._failing_since = self._clock.monotonic()
            log.warning(
                "stage %s of %s: a commit failed; the next one will store its offsets too: %r",
                self._metrics.stage,
                self._metrics.pipeline,
                error,
            )
            return False
        now = self._clock.monotonic()
        for partition, offset in moved.items():
            partition.committed = offset
            if metrics := self._metrics.partitions.get(partition.name):
                metrics.committed_offset, metrics.committed_at = offset.offset, now
        self._failing_since = None
        self._metrics.commits += 1
        self._metrics.last_commit_at = now
        return True

    async def _wait_until_due(self) -> None:
        """Wait until the interval is over or enough records are finished."""
        sleeping = asyncio.ensure_future(self._clock.sleep(self._config.commit_interval_seconds))
        waiting = asyncio.ensure_future(self._due.wait())
        try:
            await asyncio.wait({sleeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()

    def _report_lost_if_overdue(self) -> None:
        since, deadline = self._failing_since, self._config.commit_deadline_seconds
        if since is not None and self._clock.monotonic() - since >= deadline:
            self._failing_since = None
            self._on_lost()


def _to_commit(partition: Partition) -> CommittedOffset | None:
    """The frontier of the partition, with the finished offsets beyond it; `None` without any.

    If the metadata has no space for all of these, `metadata_full` stops the intake from reading
    more of the partition, until the frontier moves on.
    """
    offset = partition.frontier.offset
    if offset is None:
        return None
    metadata, complete = encode(offset, partition.frontier.finished_ahead)
    partition.metadata_full = not complete
    return CommittedOffset(offset, metadata)


def _by_name(
    offsets: Mapping[Partition, CommittedOffset],
) -> Mapping[TopicPartition, CommittedOffset]:
    return {partition.name: offset for partition, offset in offsets.items()}
