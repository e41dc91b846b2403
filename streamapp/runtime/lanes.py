"""Lanes: a fixed number of coroutines that call agents for ready records.

An agent that does not suspend costs no turn of the event loop. Of agents that suspend, as many as
`concurrency` run side by side.
"""

import asyncio
from collections import deque
from collections.abc import Collection

from streamapp.clock import Clock
from streamapp.errors import DrainTimeoutError
from streamapp.observability.lane_time import Activity
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.runtime.attempts import AbandonedError, Attempts
from streamapp.runtime.delivery import Delivery
from streamapp.runtime.first_attempts import FirstAttempts
from streamapp.runtime.lane import Interruption, Lane
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.slices import TimeSlice
from streamapp.runtime.work import Work

WOKEN_AT_ONCE = 2
"""How many parked lanes may be waking up at the same time.

Each lane that has taken a record wakes others if more records are ready, so their number doubles
with each turn of the event loop. To wake all at once would be in vain where few records are ready.
"""

LONG_SECONDS = 1.0
"""Records that took longer are kept for whoever asks which one has blocked the event loop."""

MOST_LONG = 100
"""At most so many of them are kept."""

PAUSE_SECONDS = 0.02
"""Wait after an agent that never suspends has blocked the event loop for so long.

A heartbeat needs several turns of the event loop: for its timer, its request and the answer. If
each turn began with another such record, heartbeats would be late by as many records.
"""

STOP_TIMEOUT_SECONDS = 5.0
"""How long cancelled attempts may take to end when the segment ends."""


class Lanes:
    """The lanes of a segment.

    Args:
        first: makes first attempts, chunk by chunk, and those of records that have waited.
        attempts: is told when the segment ends.
        concurrency: number of lanes; agents that never suspend need only one.
        suspends: whether any agent may suspend.
        clock: measures attempts.
        metrics: counters of the segment.
        ready: records whose attempts can begin.
        delivery: sends outputs.
        time_slice: how long lanes may run before other tasks get a turn.
        changed: set when a lane finds nothing to do.
    """

    def __init__(
        self,
        first: FirstAttempts,
        attempts: Attempts,
        concurrency: int,
        clock: Clock,
        metrics: StageMetrics,
        *,
        suspends: bool,
        ready: ReadyQueue,
        delivery: Delivery,
        time_slice: TimeSlice,
        changed: asyncio.Event,
    ) -> None:
        self._first = first
        self._attempts = attempts
        self._suspends = suspends
        self._ready = ready
        self._delivery = delivery
        self._slice = time_slice
        self._changed = changed
        self.publish_progress = first.publish_progress
        ready.on_put = self._wake
        delivery.before_flush_closes(first.publish_progress)
        self._clock = clock
        self._metrics = metrics
        self._lanes = tuple(Lane() for _ in range(concurrency))
        self._parked: list[asyncio.Future[None]] = []
        self._waking = 0
        self._long_worked_on: deque[tuple[float, Partition, int]] = deque(maxlen=MOST_LONG)

    async def run(self, name: str) -> None:
        """Run the lanes until cancelled.

        Raises:
            DrainTimeoutError: an agent does not end although it was cancelled. Its task is left
                running until the process ends.
        """
        tasks = [
            asyncio.create_task(lane.contexts.run(self._run(lane)), name=f"{name} lane {i}")
            for i, lane in enumerate(self._lanes)
        ]
        for lane, task in zip(self._lanes, tasks, strict=True):
            lane.task = task
        self._metrics.lane_time.start(len(tasks), self._clock.monotonic())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # a lane ends by itself only through a fault of the runtime
                if task.cancelled():
                    raise RuntimeError(f"{task.get_name()} was cancelled for an unknown reason")
                task.result()
        finally:
            self._attempts.ending = True
            self._metrics.lane_time.stop(self._clock.monotonic())
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_SECONDS)
            if stuck:
                raise DrainTimeoutError(
                    f"{len(stuck)} attempts of stage {self._metrics.stage!r} of pipeline"
                    f" {self._metrics.pipeline!r} did not end when they were cancelled; their"
                    " records will be read again",
                    stage_id=self._metrics.stage,
                )

    @property
    def has_left_some(self) -> bool:
        """Whether attempts still run although `run` has ended."""
        return any(lane.task is not None and not lane.task.done() for lane in self._lanes)

    @property
    def busy(self) -> bool:
        """Whether an attempt is running in any lane."""
        self.publish_progress()
        return bool(self.at_work())

    def stuck(self) -> Collection[Work]:
        """Records of attempts that have not ended although they were cancelled seconds ago."""
        return [work for lane in self._lanes if lane.stuck for work in lane.running]

    def at_work(self) -> Collection[Work]:
        """Records that lanes work on, if their attempts have suspended or left the burst."""
        return [work for lane in self._lanes for work in lane.works]

    def take_long_worked_on(self, seconds: float) -> Collection[tuple[Partition, int]]:
        """Records that lanes have worked on for so long without a pause, or may have.

        Those are the ones that have ended since the last call, and running attempts of agents
        that suspend, of which nobody can tell how long they have held the event loop.
        """
        self.publish_progress()
        long = self._long_worked_on
        # Without one that has taken so long, several together have.
        longest = [(partition, offset) for took, partition, offset in long if took >= seconds]
        found = longest or [(partition, offset) for _, partition, offset in long]
        long.clear()
        return [*found, *((work.partition, work.record.offset) for work in self.at_work())]

    def closed_partitions_at_work(self) -> set[Partition]:
        """Closed partitions of which an attempt still runs."""
        self.publish_progress()
        return {work.partition for work in self.at_work() if work.partition.closed}

    def expire(self, now: float) -> None:
        """Cancel attempts that have taken too long; called at regular intervals."""
        self.publish_progress()
        for lane in self._lanes:
            if lane.deadline is not None and now >= lane.deadline:
                lane.interrupt(lane.interruption or Interruption.TIMEOUT, now)

    def cancel_closed(self) -> None:
        """Cancel running attempts on closed partitions; their records will be read again."""
        self.publish_progress()
        now = self._clock.monotonic()
        for lane in self._lanes:
            if lane.deadline is None or not any(work.partition.closed for work in lane.running):
                continue
            if lane.interruption is not Interruption.ABANDONED:  # else `expire` cancels it again
                lane.interrupt(Interruption.ABANDONED, now)

    def _wake(self) -> None:
        """Wake parked lanes; each of them wakes others if more records are ready."""
        while self._parked and self._waking < WOKEN_AT_ONCE and self._ready:
            wake = self._parked.pop()
            if not wake.done():  # else its lane has ended
                self._waking += 1
                wake.set_result(None)

    async def _park(self, lane: Lane) -> None:
        await lane.contexts.renew_if_used()  # a parked lane keeps no variables of its last attempt
        self._delivery.flush_now()
        self._changed.set()
        if self._attempts.ending:
            raise asyncio.CancelledError  # an agent has caught and dropped the cancellation
        wake = asyncio.get_running_loop().create_future()
        self._parked.append(wake)
        self._metrics.busy_lanes -= 1
        time_of_lanes = self._metrics.lane_time
        time_of_lanes.enter(Activity.IDLE, self._clock.monotonic())
        await wake
        time_of_lanes.leave(Activity.IDLE, self._clock.monotonic())
        self._waking -= 1
        self._metrics.busy_lanes += 1

    async def _wait_for_room(self) -> None:
        time_of_lanes = self._metrics.lane_time
        time_of_lanes.enter(Activity.BLOCKED, self._clock.monotonic())
        await self._delivery.wait_for_room()
        time_of_lanes.leave(Activity.BLOCKED, self._clock.monotonic())

    async def _run(self, lane: Lane) -> None:
        monotonic, ready, time_slice = self._clock.monotonic, self._ready, self._slice
        self._metrics.busy_lanes += 1
        began = monotonic()
        partition: Partition | None = None
        while True:
            now = monotonic()
            # A record with fused steps may have begun another slice in between.
            of_long = partition if now - began > LONG_SECONDS else None
            if of_long is not None or now >= time_slice.end:
                self._delivery.flush_if_large()
                if of_long is not None:
                    self._long_worked_on.append((now - began, of_long, lane.last_offset))
                    if not self._suspends:
                        await self._clock.sleep(PAUSE_SECONDS)
                now = await time_slice.yield_to_event_loop()
            if self._delivery.is_full:
                partition = None
                await self._wait_for_room()
                continue
            began, partition = now, None
            try:
                if (work := ready.take_first()) is not None:
                    lane.work = work
                    partition, lane.last_offset = work.partition, work.record.offset
                    self._wake()
                    await self._first.run_waited(work, lane, now)
                elif (chunk := ready.next_chunk()) is not None:
                    partition = chunk.partition
                    self._wake()
                    await self._first.run(lane, chunk, now)
                elif ready.batch_is_due and not ready.is_held:
                    partition = await self._first.run_due(lane, now)
                else:
                    await self._park(lane)
            except AbandonedError:
                lane.chunk = lane.record = lane.packed = None  # as a parked lane keeps no records
            lane.work = None
            self._delivery.flush_if_full()
