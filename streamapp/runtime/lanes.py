"""Lanes: a fixed set of coroutines that run agents on ready records.

Hot path: `_run` goes round once for each record. An agent that does not suspend costs no turn of
the event loop; as many as `concurrency` that do suspend run side by side.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto

from streamapp.clock import Clock
from streamapp.errors import DrainTimeoutError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Item, Work

SLICE_SECONDS = 0.01
"""Longest time that agents which never suspend hold the event loop; one call is not cut short."""

STOP_TIMEOUT_SECONDS = 5.0
"""How long cancelled attempts may take to end."""

CANCEL_AGAIN_SECONDS = 5.0
"""How long an agent may clean up after it was cancelled, before it is cancelled again."""


class Interruption(Enum):
    """Why a running attempt was cancelled."""

    TIMEOUT = auto()
    ABANDONED = auto()


class Lane:
    """One coroutine and what it works on.

    Attributes:
        task: runs it.
        work: record in its hands; `None` when it is parked.
        deadline: monotonic seconds at which its attempt has taken too long; `None` outside an
            attempt that can be interrupted.
        interruption: why its attempt is being cancelled.
        wake: set while it is parked.
    """

    __slots__ = ("deadline", "interruption", "task", "wake", "work")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.work: Work | None = None
        self.deadline: float | None = None
        self.interruption: Interruption | None = None
        self.wake: asyncio.Future[None] | None = None


class Lanes:
    """Ready records, and the lanes that take them.

    Args:
        steps: steps of the segment.
        concurrency: how many lanes; agents that never suspend need one.
        clock: measures attempts.
        metrics: counters of the segment.
        on_ended: called with a record whose way is over and whose outputs may leave.
        on_failed: called with a record, the step and the error of a failed attempt; it decides,
            and returns whether the record goes on with its next item now.
        on_dry: called when there is nothing left to start.
    """

    def __init__(
        self,
        steps: tuple[StepRunner, ...],
        concurrency: int,
        clock: Clock,
        metrics: StageMetrics,
        *,
        on_ended: Callable[[Work], None],
        on_failed: Callable[[Work, StepRunner, Exception], bool],
        on_dry: Callable[[], None],
    ) -> None:
        self._steps = steps
        self._clock = clock
        self._metrics = metrics
        self._on_ended = on_ended
        self._on_failed = on_failed
        self._on_dry = on_dry
        self._ready = ReadyQueue(side_by_side=concurrency > 1)
        self._lanes = tuple(Lane() for _ in range(concurrency))
        self._parked: list[Lane] = []
        self._waking = False
        self._slice_end = 0.0
        self._wall_ms = 0
        self._ending = False

    async def run(self, name: str) -> None:
        """Run the lanes until cancelled.

        Raises:
            DrainTimeoutError: an agent does not end although it was cancelled; its task is left
                behind, and only the end of the process ends it.
        """
        tasks = [
            asyncio.create_task(self._run(lane), name=f"{name} lane {i}")
            for i, lane in enumerate(self._lanes)
        ]
        for lane, task in zip(self._lanes, tasks, strict=True):
            lane.task = task
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # a lane ends by a fault of ours only
                if task.cancelled():
                    raise RuntimeError(f"{task.get_name()} was cancelled by nobody")
                task.result()
        finally:
            self._ending = True
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_SECONDS)
            if stuck:
                raise DrainTimeoutError(
                    f"{len(stuck)} attempts of stage {self._metrics.stage!r} of pipeline"
                    f" {self._metrics.pipeline!r} did not end when they were cancelled; their"
                    " records will be delivered again",
                    stage_id=self._metrics.stage,
                )

    @property
    def busy(self) -> bool:
        """Whether a lane has a record in its hands."""
        return any(lane.work is not None for lane in self._lanes)

    @property
    def waiting(self) -> bool:
        """Whether a record is ready and no lane has taken it yet."""
        return bool(self._ready)

    def put(self, works: Iterable[Work]) -> None:
        """Add records that were fetched."""
        self._ready.put(works)
        self._wake()

    def put_first(self, works: Iterable[Work]) -> None:
        """Add records that are to be tried again."""
        self._ready.put_first(works)
        self._wake()

    def hold(self, work: Work) -> None:
        """Keep the key of a record that is to be tried again."""
        self._ready.hold(work)

    def started(self) -> Iterable[Work]:
        """Records in the hands of lanes."""
        return [lane.work for lane in self._lanes if lane.work is not None]

    def drop_waiting(self, overtaken: Mapping[Partition, int]) -> None:
        """Forget what has not been started, as `ReadyQueue.drop` does."""
        self._ready.drop(overtaken)

    def expire(self, now: float) -> None:
        """Cancel attempts that have taken too long; to be called now and then."""
        for lane in self._lanes:
            if lane.deadline is not None and now >= lane.deadline:
                _interrupt(lane, lane.interruption or Interruption.TIMEOUT, now)

    def abandon(self) -> None:
        """Cancel all running attempts; their records will be delivered again."""
        now = self._clock.monotonic()
        for lane in self._lanes:
            if lane.deadline is None:
                continue
            if lane.interruption is not Interruption.ABANDONED or now >= lane.deadline:
                _interrupt(lane, Interruption.ABANDONED, now)

    def _wake(self) -> None:
        """Let one parked lane go on; it wakes the next when there is more to do."""
        if self._parked and not self._waking and self._ready:
            wake = self._parked.pop().wake
            if wake is not None and not wake.done():
                self._waking = True
                wake.set_result(None)

    async def _park(self, lane: Lane) -> None:
        self._on_dry()
        if self._ending:
            raise asyncio.CancelledError  # an agent has swallowed it
        lane.wake = asyncio.get_running_loop().create_future()
        self._parked.append(lane)
        self._metrics.busy_lanes -= 1
        await lane.wake
        self._metrics.busy_lanes += 1
        lane.wake = None
        self._waking = False
        self._wall_ms = int(self._clock.time() * 1000)

    async def _yield(self) -> float:
        """Let the rest of the process have a turn: fetching, sending, heartbeats."""
        await asyncio.sleep(0)
        self._wall_ms = int(self._clock.time() * 1000)
        now = self._clock.monotonic()
        # From now on, not from before: the others' turns are not to shorten this one.
        self._slice_end = now + SLICE_SECONDS
        return now

    async def _run(self, lane: Lane) -> None:
        monotonic = self._clock.monotonic
        take = self._ready.take
        self._metrics.busy_lanes += 1
        while True:
            work = take()
            if work is None:
                await self._park(lane)
                continue
            lane.work = work
            now = monotonic()
            if now >= self._slice_end:
                now = await self._yield()
                if work.partition.closed:
                    lane.work = None
                    continue
            if self._parked:
                self._wake()
            await self._process(work, lane, now)
            lane.work = None

    async def _process(  # noqa: C901, PLR0912 - hot path: no further call for each record
        self, work: Work, lane: Lane, started: float
    ) -> None:
        """Run attempts on a record until it ends, fails for now, or is abandoned."""
        monotonic = self._clock.monotonic
        while True:
            item = work.item
            step = self._steps[0 if item is None else item.step]
            error: Exception | None = None
            try:
                result = step.call(work)
                if step.is_async:
                    lane.deadline = started + step.timeout_seconds
                    result = await result
                    lane.deadline = None
                    self._wall_ms = int(self._clock.time() * 1000)
                    if lane.task is not None and lane.task.cancelling():
                        await self._settle(lane)  # the agent gave a result in spite of it
                count = step.accept(work, result)
            except asyncio.CancelledError:
                error = self._interrupted(lane, step)
                if error is None:
                    return
            except (Exception, SystemExit) as raised:  # noqa: BLE001 - an agent's may be any
                lane.deadline = None
                if lane.task is not None and lane.task.cancelling():
                    await self._settle(lane)
                error = raised if isinstance(raised, Exception) else _as_failure(raised)
            ended = monotonic()
            step.metrics.attempt_duration.observe(int((ended - started) * 1e6))
            started = ended
            if error is None:
                if count:
                    step.metrics.processed += 1
                else:
                    step.metrics.filtered += 1
            elif not self._on_failed(work, step, error):
                return
            if not work.pending:
                self._end(work)
                return
            self._go_on(work, work.pending.pop())
            if started >= self._slice_end:
                started = await self._yield()
                if work.partition.closed:
                    return

    def _go_on(self, work: Work, item: Item) -> None:
        work.item = item
        work.failures = 0
        self._steps[item.step].metrics.records_in += 1

    def _end(self, work: Work) -> None:
        timestamp = work.record.timestamp
        if timestamp >= 0:  # -1 is a record without one
            self._metrics.age.observe(self._wall_ms - timestamp)
        if not work.partition.closed:
            self._on_ended(work)
            self._ready.release(work)

    async def _settle(self, lane: Lane) -> None:
        """Take up a cancel that was asked for and has not come yet; it was the attempt's."""
        self._forgive(lane)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._ending:
                raise
            self._forgive(lane)

    def _forgive(self, lane: Lane) -> None:
        """Let the cancels of an attempt that has ended count no more, whoever they came from.

        Ours of a timeout, or those of an agent that cancels its own task and swallows it, as
        timeouts written by hand do. The end of the segment is known by its flag.
        """
        lane.interruption = None
        while not self._ending and lane.task is not None and lane.task.cancelling():
            lane.task.uncancel()

    def _interrupted(self, lane: Lane, step: StepRunner) -> Exception | None:
        """What a cancelled attempt failed with; `None` if its record is abandoned.

        Raises:
            asyncio.CancelledError: the segment ends.
        """
        reason = lane.interruption
        lane.deadline = None
        if self._ending:
            raise asyncio.CancelledError
        self._forgive(lane)
        if reason is Interruption.ABANDONED:
            return None
        if reason is Interruption.TIMEOUT:
            return TimeoutError(f"the attempt took longer than {step.timeout_seconds:g} s")
        return RuntimeError(f"the agent of stage {step.stage_id!r} cancelled itself")


def _interrupt(lane: Lane, reason: Interruption, now: float) -> None:
    """Cancel the attempt of a lane, and again after a while if it has not ended by then.

    A single cancel can get lost in Python 3.11; one that comes too soon cuts the agent's own
    clean-up short.
    """
    lane.interruption = reason
    lane.deadline = now + CANCEL_AGAIN_SECONDS
    if lane.task is not None:
        lane.task.cancel()


def _as_failure(raised: BaseException) -> Exception:
    error = RuntimeError(f"the agent raised {type(raised).__name__}")
    error.__cause__ = raised
    return error
