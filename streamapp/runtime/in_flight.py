"""All records in flight in a segment: ready, in lanes, waiting for a retry, or being sent."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from streamapp.clock import Clock
from streamapp.errors import StageStoppedError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.delivery import Delivery
from streamapp.runtime.lanes import Lanes
from streamapp.runtime.ready import ReadyQueue, ShouldKeep, keep_nothing
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.work import Work

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""Time between two checks whether cancelled attempts have ended.

The wait ends earlier when a lane finds nothing more to do. But a lane whose cancelled attempt has
ended may have other records to work on, and then only a check notices that.
"""


class InFlight:
    """Finishes the records in flight, or forgets them, so that they are read again.

    Args:
        ready: records whose attempts have not begun.
        lanes: run attempts.
        retries: records that wait for their next attempt.
        delivery: sends outputs.
        clock: measures deadlines.
        metrics: counters of the segment.
        changed: set whenever an attempt has ended, or outputs or records were sent or dropped.
    """

    def __init__(
        self,
        ready: ReadyQueue,
        lanes: Lanes,
        retries: RetryQueue,
        delivery: Delivery,
        *,
        clock: Clock,
        metrics: StageMetrics,
        changed: asyncio.Event,
    ) -> None:
        self._ready = ready
        self._lanes = lanes
        self._retries = retries
        self._delivery = delivery
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._reported: set[Work] = set()
        self._should_keep: ShouldKeep = keep_nothing

    def drop_not_running(self) -> None:
        """Forget records whose attempt is not running; they will be read again."""
        self._lanes.publish_progress()  # else a lane would take more records of its chunk
        self._ready.drop(self._should_keep)
        self._retries.drop(self._should_keep)
        self._changed.set()  # a drain may be waiting for these records

    def drop_all_but_before(self, stopped: StageStoppedError) -> None:
        """Start no further records, except those before the one at which the stage stopped.

        The next run begins at that record, so all records before it have to be finished.
        """

        def stands_before(work: Work) -> bool:
            return work.partition.name == stopped.partition and work.record.offset < stopped.offset

        self._should_keep = stands_before
        self.drop_not_running()

    def forget(self) -> None:
        """Forget all records in flight, whose partitions are all closed."""
        self._ready.drop()
        self._retries.drop()
        self._lanes.cancel_closed()
        self._delivery.discard()
        self._changed.set()  # a drain may be waiting for these records

    def keep_acknowledged(self) -> None:
        """Finish what was forgotten although all its outputs are acknowledged."""
        self._delivery.keep_acknowledged()

    async def drain(self, deadline_seconds: float, given_up: asyncio.Event) -> bool:
        """Finish running attempts and send their outputs.

        Args:
            deadline_seconds: how long that may take.
            given_up: set when it is of no use any more, because the producer is lost.

        Returns:
            Whether everything was finished in time.
        """
        deadline = self._clock.monotonic() + deadline_seconds
        self.drop_not_running()
        try:
            async with asyncio.timeout(deadline_seconds):
                while self._unfinished(deadline) and not given_up.is_set():
                    self._changed.clear()
                    self._delivery.flush_now()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return not given_up.is_set()

    def _unfinished(self, deadline: float) -> bool:
        """Whether anything is in flight that may end before the deadline, in monotonic seconds."""
        lanes = self._lanes
        running = lanes.busy or bool(self._ready) or not self._delivery.empty
        return running or self._retries.due_by(deadline)

    async def wait_for_cancelled_attempts(self, seconds: float) -> Collection[TopicPartition]:
        """Wait until attempts on closed partitions have ended.

        Their records will be read again. If the old attempt still ran then, two attempts would work
        on one key at the same time.

        Returns:
            Partitions with attempts that have not ended after `seconds`.
        """
        give_up_at = self._clock.monotonic() + seconds
        while True:
            left = {partition.name for partition in self._lanes.closed_partitions_at_work()}
            seconds_left = give_up_at - self._clock.monotonic()
            if not left or seconds_left <= 0:
                return left
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(CHECK_SECONDS, seconds_left)):
                    await self._changed.wait()

    def sweep(self) -> None:
        """Cancel attempts that take too long or whose partition is closed, and log stuck ones."""
        self._lanes.expire(self._clock.monotonic())
        self._lanes.cancel_closed()
        stuck = self._lanes.stuck()
        self._metrics.stuck_attempts = len(stuck)
        for work in stuck:
            if work not in self._reported:
                log.warning(
                    "stage %s of %s: the attempt on %s[%d] at offset %d does not end although it"
                    " was cancelled; records of its key wait for it, others do not",
                    self._metrics.stage,
                    self._metrics.pipeline,
                    work.partition.name.topic,
                    work.partition.name.partition,
                    work.record.offset,
                )
        self._reported = set(stuck)
