"""All that is in flight in a segment: in lanes, waiting for another attempt, on its way out."""

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
"""Between two looks at attempts that do not end."""


class InFlight:
    """Finishes or forgets what is in flight.

    Args:
        ready: records that nobody has started.
        lanes: run attempts.
        retries: wait for the next one.
        delivery: sends what came of them.
        clock: measures deadlines.
        metrics: counters of the segment.
        changed: set whenever something ended, was sent or was dropped.
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
        """Forget what is not running: it will be delivered again."""
        self._lanes.make_current_known()  # else it takes more of its chunk
        self._ready.drop(self._should_keep)
        self._retries.drop(self._should_keep)
        self._changed.set()  # another drain may wait for what was dropped

    def drop_all_but_before(self, stopped: StageStoppedError) -> None:
        """Start nothing more, but for what stands before this record: the next run begins there."""

        def stands_before(work: Work) -> bool:
            return work.partition.name == stopped.partition and work.record.offset < stopped.offset

        self._should_keep = stands_before
        self.drop_not_running()

    def forget(self) -> None:
        """Forget all work of closed partitions, of which there are only those."""
        self._ready.drop()
        self._retries.drop()
        self._lanes.cancel_closed()
        self._delivery.discard()
        self._changed.set()  # a drain may wait for what was forgotten

    async def drain(self, deadline_seconds: float, given_up: asyncio.Event) -> bool:
        """Finish what runs; whether that was done in time, and before it was given up."""
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
        """Whether anything is under way that can end before then, in monotonic seconds."""
        lanes = self._lanes
        running = lanes.busy or bool(self._ready) or not self._delivery.empty
        return running or self._retries.due_by(deadline)

    async def wait_for_cancelled_attempts(self, seconds: float) -> Collection[TopicPartition]:
        """Wait until abandoned attempts have ended, so that no key is worked on twice at once.

        Returns:
            Partitions whose attempts have not ended by then.
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
        """Cancel attempts that take too long or are nobody's, and tell of those that go on."""
        self._lanes.expire(self._clock.monotonic())
        self._lanes.cancel_closed()
        stuck = self._lanes.stuck()
        self._metrics.stuck_attempts = len(stuck)
        for work in stuck:
            if work not in self._reported:
                log.warning(
                    "stage %s of %s: the attempt on %s[%d] at offset %d goes on although it was"
                    " cancelled; its key waits for it, other records go on",
                    self._metrics.stage,
                    self._metrics.pipeline,
                    work.partition.name.topic,
                    work.partition.name.partition,
                    work.record.offset,
                )
        self._reported = set(stuck)
