"""Delivery: the one place where outputs, dead letters and offsets leave a segment.

The rest of the runtime uses only the protocol `Delivery`. `AtLeastOnce` implements it: all input
partitions share one outbox and the producer of the worker, and offsets are committed separately,
after the outputs are acknowledged. Exactly-once delivery would be another implementation, with an
outbox and a transactional producer for each input partition; its transactions include offsets.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.committer import Committer
from streamapp.runtime.config import Environment
from streamapp.runtime.flush import Flush
from streamapp.runtime.outbox import Outbox
from streamapp.runtime.partition import Partition
from streamapp.runtime.refusals import Refusals


class Delivery(Protocol):
    """Sends outputs and dead letters, and commits the offsets of their records."""

    @property
    def empty(self) -> bool:
        """Whether no output waits to be sent or acknowledged."""

    def outbox(self, partition: Partition) -> Outbox:
        """The outbox for the outputs of this partition's records."""

    def before_flush_closes(self, book: Callable[[], None]) -> None:
        """Have `book` called before an open flush is closed."""

    def flush_if_full(self) -> None:
        """Send outputs if there are enough for a flush."""

    def flush_if_large(self) -> None:
        """Send outputs if they have many bytes; called after each slice of time."""

    def flush_now(self) -> None:
        """Send the outputs that are there, without waiting for more."""

    @property
    def held_bytes(self) -> int:
        """Bytes of outputs that are not acknowledged."""

    @property
    def is_full(self) -> bool:
        """Whether these are so many that no further attempt should begin."""

    async def wait_for_room(self) -> None:
        """Wait until they are not."""

    def discard(self) -> None:
        """Give up all outputs that are not acknowledged; their records will be read again."""

    def keep_acknowledged(self) -> None:
        """Finish those records of what was given up whose outputs are all acknowledged."""

    async def run(self) -> None:
        """Send and commit until cancelled."""

    def commit_soon(self) -> None:
        """Commit as soon as possible, without waiting for the interval."""

    async def commit(self) -> bool:
        """Commit what has changed since the last commit; false if that failed."""


class AtLeastOnce:
    """Sends outputs first, and commits offsets after the acknowledgements.

    Args:
        assignment: the open partitions.
        environment: the shared producer, the clock, deadlines and bounds.
        progress: told when records are finished.
        max_bytes: most bytes of outputs that may be held.
        refusals: told of refused batches, and when records are finished.
        on_finished: called when records are finished.
        on_failed: called when a batch has failed; nothing is sent after that until `discard`.
        on_lost: called when commits have failed for longer than their deadline.
    """

    def __init__(
        self,
        assignment: Assignment,
        environment: Environment,
        progress: ProgressWatch,
        *,
        max_bytes: int,
        refusals: Refusals | None = None,
        on_finished: Callable[[], None],
        on_failed: Callable[[BaseException], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._partitions: Mapping[TopicPartition, Partition] = assignment.partitions
        self._metrics: StageMetrics = assignment.metrics
        self._progress = progress
        self._on_finished = on_finished
        self._outbox = Outbox(
            environment,
            max_bytes,
            metrics=assignment.metrics,
            on_finished=self._finished,
            on_failed=on_failed,
            refusals=refusals,
        )
        self._refusals = refusals
        self._committer = Committer(
            assignment, environment.clock, environment.config, on_lost=on_lost
        )
        self.flush_if_full = self._outbox.flush_if_full
        self.flush_if_large = self._outbox.flush_if_large
        self.flush_now = self._outbox.flush_now
        self.wait_for_room = self._outbox.wait_for_room
        self.discard = self._outbox.discard
        self.commit = self._committer.commit
        self.commit_soon = self._committer.commit_soon

    @property
    def empty(self) -> bool:
        """Whether no output waits to be sent or acknowledged."""
        return self._outbox.empty

    @property
    def held_bytes(self) -> int:
        """Bytes of outputs that are not acknowledged."""
        return self._outbox.held_bytes

    @property
    def is_full(self) -> bool:
        """Whether these are so many that no further attempt should begin."""
        return self._outbox.held_bytes >= self._outbox.max_bytes

    def outbox(self, _partition: Partition) -> Outbox:
        """The outbox for the outputs of this partition's records, which is the same for all."""
        return self._outbox

    def before_flush_closes(self, book: Callable[[], None]) -> None:
        """Have `book` called before an open flush is closed."""
        self._outbox.before_flush_closes = book

    async def run(self) -> None:
        """Send and commit until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outbox.run())
            group.create_task(self._committer.run())

    def keep_acknowledged(self) -> None:
        """Finish those records of what was given up whose outputs are all acknowledged.

        Their partitions are suspended and open again later; those that were given back are not
        ours any more.
        """
        for partition, finished in self._outbox.take_acknowledged().items():
            suspended = partition.latest
            if finished.offsets and suspended.finish_before_opening(finished.offsets):
                self._progress.finished(suspended.name)
                self._no_more_refused(suspended)
                self._committer.finished(len(finished.offsets))
                self._metrics.acknowledged_records += len(finished.offsets)
                for metrics, reason in finished.dead_letters:
                    metrics.dead_letters[reason] += 1

    def _no_more_refused(self, partition: Partition) -> None:
        if self._refusals is not None:
            self._refusals.finished(partition)

    def _finished(self, flush: Flush) -> None:
        """Mark the records of a flush as finished, since all its batches are acknowledged."""
        finished = 0
        for partition, share in flush.shares.items():
            if partition.closed:
                continue
            partition.finish(share.offsets, share.value_bytes)
            self._progress.finished(partition.name)
            self._no_more_refused(partition)
            finished += len(share.offsets)
        for target, count in flush.outputs.items():
            target.metrics.records_out[target.name] += count
        for metrics, reason in flush.dead_letters:
            metrics.dead_letters[reason] += 1
        self._metrics.acknowledged_records += finished
        self._committer.finished(finished)
        self._on_finished()
