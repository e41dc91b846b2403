"""Attempts on one record, from when it leaves the burst until it is done."""

import asyncio
from typing import Any

from streamapp.clock import Clock
from streamapp.policies.gravest import NOT_OF_THE_AGENT, as_failure
from streamapp.record import event_timestamp
from streamapp.runtime.delivery import Delivery
from streamapp.runtime.failures import FailureHandler
from streamapp.runtime.hold import Hold
from streamapp.runtime.lane import Interruption, Lane
from streamapp.runtime.ready import ReadyQueue, make_wait_behind
from streamapp.runtime.slices import TimeSlice
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Item, Work
from streamapp.status import PipelineStatus


class AbandonedError(Exception):
    """An attempt was cancelled, and its record will be read again; the lanes catch this."""


class Attempts:
    """Runs attempts on a record until it is done, has to wait for a retry, or is abandoned.

    Args:
        steps: steps of the segment.
        ready: knows which record holds a key.
        delivery: takes the outputs of a record that is done.
        failures: decides about a failed attempt.
        time_slice: how long attempts may run before other tasks get a turn.
        clock: measures attempts.
        hold: is told what has succeeded.

    Attributes:
        ending: whether the lanes are being cancelled because the segment ends.
    """

    def __init__(
        self,
        steps: tuple[StepRunner, ...],
        ready: ReadyQueue,
        delivery: Delivery,
        failures: FailureHandler,
        time_slice: TimeSlice,
        *,
        clock: Clock,
        hold: Hold,
    ) -> None:
        self.ending = False
        self._steps = steps
        self._ready = ready
        self._delivery = delivery
        self._failures = failures
        self._slice = time_slice
        self._clock = clock
        self._hold = hold
        self._metrics = steps[0].metrics

    def make_wait_behind(self, holder: Work, work: Work) -> None:
        """Let a record wait for the one that holds its key."""
        waiting = make_wait_behind(holder, work)
        if holder.is_failing:
            self._failures.check_backlog(holder, waiting)

    async def run(self, work: Work, lane: Lane, started: float) -> None:
        """Make an attempt on a record that has waited for its key or for a retry.

        Raises:
            AbandonedError: the attempt was cancelled, and the record will be read again.
        """
        step = self._step_of(work)
        result, error = None, work.give_up_error
        try:
            if error is None:
                result, error = await self._attempt(work, lane, step, started)
            await self.handle_result(work, lane, step, started, result, error)
        finally:
            self._hold.end_probe(work)

    async def handle_result(
        self,
        work: Work,
        lane: Lane,
        step: StepRunner,
        started: float,
        result: Any,
        error: Exception | None,
    ) -> None:
        """Handle the result of an attempt, and make the attempts of the fused steps that follow.

        Args:
            work: the record.
            lane: runs this.
            step: step of the attempt.
            started: when the attempt began, in monotonic seconds.
            result: what the agent returned; not used if there is an error.
            error: why the attempt failed; `None` if it did not.

        Raises:
            AbandonedError: an attempt was cancelled, and the record will be read again.
        """
        while True:
            if lane.end_call():
                await self.absorb_late_cancel(lane)
            if not self.settle(work, step, started, result, error):
                return
            if not work.pending:
                self.pass_to_outbox(work)
                return
            started = await self._begin_pending(work)
            if work.partition.closed or self._hold.keeps_back(work):
                return
            step = self._step_of(work)
            result, error = await self._attempt(work, lane, step, started)

    def settle(
        self,
        work: Work,
        step: StepRunner,
        started: float,
        result: Any,
        error: Exception | None,
        ended: float | None = None,
    ) -> bool:
        """Take over what an attempt gave, or let the policy decide; and count the attempt.

        Args:
            work: the record.
            step: step of the attempt.
            started: when it began, in monotonic seconds.
            result: what the agent returned; not used if there is an error.
            error: why it failed; `None` if it did not.
            ended: when it ended; `None` is now.

        Returns:
            Whether the record goes on: its next value is to be tried, or it is done.
        """
        if work.began is None:
            work.began = started
        error = error or _accepted(step, work, result)
        seconds = (self._clock.monotonic() if ended is None else ended) - started
        step.metrics.attempt_duration.observe(int(seconds * 1e6))
        if error is None:
            self._hold.succeeded(step, work, seconds)
            return True
        return self._failures.handle(work, step, error, ended)

    async def try_pending(self, work: Work, lane: Lane) -> None:
        """Make the attempts of the fused steps that follow one whose call is over.

        Raises:
            AbandonedError: an attempt was cancelled, and its record will be read again.
        """
        started = await self._begin_pending(work)
        if not work.partition.closed and not self._hold.keeps_back(work):
            step = self._step_of(work)
            result, error = await self._attempt(work, lane, step, started)
            await self.handle_result(work, lane, step, started, result, error)

    def end_probe(self, work: Work) -> None:
        """Give back the permit of a probe, if the record is one and its attempt had no outcome."""
        self._hold.end_probe(work)

    def pass_to_outbox(self, work: Work) -> None:
        """Give the outputs of a record that is done to the outbox, and release its key."""
        timestamp = event_timestamp(work.record)
        if timestamp >= 0:  # -1 is a record without one
            self._metrics.age.observe(int(self._clock.time() * 1000) - timestamp)
        if not work.partition.closed:
            self._delivery.outbox(work.partition).add(work)
            self._ready.release_key(work)

    def error_of_interruption(self, lane: Lane, step: StepRunner) -> Exception:
        """The error with which a cancelled attempt failed.

        Raises:
            AbandonedError: its partition was closed, so the record will be read again.
            asyncio.CancelledError: the segment ends.
        """
        reason = lane.interruption
        lane.deadline = None
        if self.ending:
            raise asyncio.CancelledError
        lane.clear_cancels()
        if reason is Interruption.ABANDONED:
            raise AbandonedError
        if reason is Interruption.TIMEOUT:
            return TimeoutError(f"the attempt took longer than {step.timeout_seconds:g} s")
        return RuntimeError(f"the agent of stage {step.stage_id!r} cancelled itself")

    def _step_of(self, work: Work) -> StepRunner:
        return self._steps[0 if work.item is None else work.item.step]

    async def _attempt(
        self, work: Work, lane: Lane, step: StepRunner, started: float
    ) -> tuple[Any, Exception | None]:
        await lane.contexts.renew_if_used()
        try:
            result = step.call(work)
            if step.agent.is_async:
                lane.deadline = started + step.timeout_seconds
                result = await result
        except asyncio.CancelledError:
            return None, self.error_of_interruption(lane, step)
        except NOT_OF_THE_AGENT:
            raise
        except BaseException as raised:  # noqa: BLE001 - an agent may raise anything
            return None, as_failure(raised)
        return result, None

    async def _begin_pending(self, work: Work) -> float:
        """Go on to the next value of a record; returns the time in monotonic seconds."""
        assert work.pending  # noqa: S101 - it has one
        self._start_item(work, work.pending.pop())
        now = self._clock.monotonic()
        return now if now < self._slice.end else await self._slice.yield_to_event_loop()

    def _start_item(self, work: Work, item: Item) -> None:
        work.item = item
        work.failures, work.began = 0, None
        work.kept = work.context = None
        work.first_failure_at, work.was_held = 0.0, False
        work.on_last_attempt = False
        self._steps[item.step].metrics.records_in += 1

    async def absorb_late_cancel(self, lane: Lane) -> None:
        """Let a cancellation arrive that was requested during an attempt which has now ended."""
        self._clear_cancels(lane)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self.ending:
                raise
            self._clear_cancels(lane)

    def _clear_cancels(self, lane: Lane) -> None:
        if not self.ending:
            lane.clear_cancels()


def _accepted(step: StepRunner, work: Work, result: Any) -> Exception | None:
    """Accept the outputs of an attempt and count it; returns an error if they are not valid."""
    try:
        count = step.accept(work, result)
    except Exception as raised:  # noqa: BLE001 - checking an output may run code of the user
        return as_failure(raised)
    if count:
        step.metrics.processed += 1
    else:
        step.metrics.filtered += 1
    step.tell(work, PipelineStatus.SUCCESS, flows_on=count > 0)
    return None
