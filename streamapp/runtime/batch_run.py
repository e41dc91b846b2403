"""Attempts on several records with one call: what a batch agent has in place of the burst.

Each record is an attempt of its own: it has its own result, failure, policy and dead letter. Only
the call is one for all of them.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from streamapp.clock import Clock
from streamapp.observability.histogram import Histogram
from streamapp.pipeline.batch_call import FailedCall, Many
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.context import Context
from streamapp.pipeline.stage import Ordering
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.gravest import NOT_OF_THE_AGENT, as_failure, gravest
from streamapp.record import Record
from streamapp.runtime.attempts import AbandonedError, Attempts
from streamapp.runtime.burst import WHOLE_PARTITION
from streamapp.runtime.gathering import BatchWork, Gathering, partition_of
from streamapp.runtime.lane import Lane
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import Chunk, ReadyQueue
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.retry_later import RetriedRecords
from streamapp.runtime.slices import TimeSlice
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work

BUCKETS = 16
"""Of the histogram of batch sizes: the last but one ends at 16,383 records."""


class BatchRun:
    """Calls a batch agent with records that are ready; one of the `FirstAttempts`.

    Args:
        step: the step of the agent, the first of its segment.
        batching: how many records are in a batch, and how long the first waits for others.
        ordering: which records wait for one another.
        attempts: tries records alone, and takes over what becomes of each.
        ready: where keys are held.
        retries: where records wait that are tried alone because the world was at fault.
        time_slice: how long a lane may handle results before other tasks get a turn.
        clock: measures calls.
        rng: random numbers for waits.
        retried: makes work of what comes back from retry topics, which is tried alone.
    """

    def __init__(
        self,
        step: StepRunner,
        batching: Batching,
        ordering: Ordering,
        attempts: Attempts,
        *,
        ready: ReadyQueue,
        retries: RetryQueue,
        time_slice: TimeSlice,
        clock: Clock,
        rng: random.Random,
        retried: RetriedRecords,
    ) -> None:
        many = step.agent.many
        assert many is not None  # noqa: S101 - it is a batch agent
        self._many: Many = many
        sizes = step.metrics.batch_records or Histogram(unit_seconds=1, buckets=BUCKETS)
        self._sizes = step.metrics.batch_records = sizes  # goes on when an agent is replaced
        self._step = step
        self._by_key = ordering is Ordering.KEY
        self._whole = WHOLE_PARTITION if ordering is Ordering.PARTITION else None
        self._attempts = attempts
        self._ready = ready
        self._retries = retries
        self._slice = time_slice
        self._clock = clock
        self._rng = rng
        self._retried = retried
        self._gathering = Gathering(batching, ready, clock)

    async def run(self, lane: Lane, chunk: Chunk, started: float) -> None:
        """Gather records of the chunk; call the agent when they are a batch."""
        self._gathering.linger_again()
        for _, record in chunk.untaken:
            lane.last_offset = record.offset
            self._gather(self._work_on(record, chunk.partition))
            if self._gathering.is_full:
                await self._call(lane, self._gathering.take(), started)
                return
        self._ready.mark_used_up(chunk)

    async def run_waited(self, work: Work, lane: Lane, started: float) -> None:
        """Gather a record that has waited for its key or for a retry, or try it alone.

        A record that is let through while others are held is tried alone as well.
        """
        holds = self._step.metrics.holds
        if not isinstance(work, BatchWork) or not work.may_join(holds) or self._ready.is_held:
            await self._attempts.run(work, lane, started)
            return
        lane.work = None  # nothing runs on it before its batch does
        self._gathering.add_with_followers(work, holds)
        if self._gathering.is_full:
            await self._call(lane, self._gathering.take(), started)
        elif work.failures and self._whole is not None:
            self._gathering.hurry()  # all that could come from its partition waits for it

    async def run_due(self, lane: Lane, started: float) -> Partition | None:
        """Call the agent with the records that have waited long enough for others."""
        works = self._gathering.take()
        if works:
            lane.last_offset = works[0].record.offset
            await self._call(lane, works, started)
        return partition_of(works)

    def take_one(self) -> Work | None:
        """Take the next record whose attempt can begin, even while records are held."""
        work: Work | None = self._gathering.take_one()
        while work is None and (chunk := self._ready.first_chunk()) is not None:
            taken = next(chunk.untaken, None)
            if taken is None:
                self._ready.mark_used_up(chunk)
                continue
            found = self._work_on(taken[1], chunk.partition)
            holder = self._ready.holder_of(found)
            if holder is None:
                self._ready.hold_key(found)
                work = found
            else:
                self._attempts.make_wait_behind(holder, found)
        return work

    def publish_progress(self) -> None:
        """Do nothing: what is done is always up to date here."""

    def _work_on(self, record: Record, partition: Partition) -> Work:
        order_key = record.key if self._by_key else self._whole
        if partition.name.topic in self._retried.topics:
            return self._retried.work_on(record, partition, order_key)
        return BatchWork(record, partition, order_key)

    def _gather(self, work: Work) -> None:
        """Add a record to the next batch, or let it wait for its key, or be tried alone."""
        holder = self._ready.holder_of(work)
        joins = holder is None or self._gathering.takes_behind(holder)
        if holder is None:
            self._ready.hold_key(work)
        else:
            self._attempts.make_wait_behind(holder, work)
        if isinstance(work, BatchWork):
            if joins:
                self._gathering.add(work)
        elif holder is None:
            self._ready.put_first((work,))

    async def _call(self, lane: Lane, works: Sequence[BatchWork], started: float) -> None:
        """Make one attempt on each of these records, and handle what comes of it."""
        if not works:
            return
        lane.batch = works
        try:
            outcomes = await self._outcomes(lane, works, started)
            await self._handle_all(lane, works, outcomes, started)
        except AbandonedError:
            self._try_again(works)
        finally:
            lane.batch, lane.work = (), None

    async def _outcomes(
        self, lane: Lane, works: Sequence[BatchWork], started: float
    ) -> Sequence[Any]:
        """What the call gives for each record: its result, an exception, or a failed call.

        Raises:
            AbandonedError: a partition of them was closed, so that its records are read again.
        """
        await lane.contexts.renew_if_used()
        outcomes: list[Any] = [None] * len(works)
        places: list[int] = []
        values: list[Any] = []
        contexts: list[Context] = []
        for i, work in enumerate(works):
            try:
                value, context = self._step.prepare(work)
            except NOT_OF_THE_AGENT:
                raise
            except BaseException as raised:  # noqa: BLE001 - a user's validator may raise anything
                outcomes[i] = as_failure(raised)
                continue
            places.append(i)
            values.append(value)
            if context is not None:
                contexts.append(context)
        results = await self._results(lane, values, contexts, started) if values else ()
        for i, result in zip(places, results, strict=True):
            outcomes[i] = result
        return outcomes

    async def _results(
        self, lane: Lane, values: list[Any], contexts: list[Context], started: float
    ) -> Sequence[Any]:
        step, count = self._step, len(values)
        self._sizes.observe(count)
        try:
            if step.agent.is_async:
                lane.deadline = started + step.timeout_seconds
            results: Sequence[Any] = await self._many(values, contexts)
        except asyncio.CancelledError:
            error = self._attempts.error_of_interruption(lane, step)
            results = [FailedCall(error, count)] * count
        if lane.end_call():
            await self._attempts.absorb_late_cancel(lane)
        return results

    async def _handle_all(
        self, lane: Lane, works: Sequence[BatchWork], outcomes: Sequence[Any], started: float
    ) -> None:
        """Handle the outcomes in their order; what stands behind a record that is not done waits.

        The results of records that wait so are not used: each is tried again when it is its turn.
        """
        ended = self._clock.monotonic()
        waits: set[tuple[Partition, bytes]] = set()
        again: list[tuple[BatchWork, Exception]] = []
        left = dict.fromkeys(works)
        for work, outcome in zip(works, outcomes, strict=True):
            del left[work]
            is_failed_call = isinstance(outcome, FailedCall) and outcome.count > 1
            if is_failed_call:
                work.alone_until_hold = self._step.metrics.holds + 1
            place = None if work.order_key is None else (work.partition, work.order_key)
            if work.partition.closed or place in waits:
                continue
            self._ready.hold_key(work)  # a drain may have forgotten that it waited for its key
            if is_failed_call:
                again.append((work, outcome.error))
            elif await self._handle(lane, work, outcome, started, ended):
                if place is not None:
                    self._ready.take_back(left, place)
                continue
            if place is not None:
                waits.add(place)
            if self._clock.monotonic() >= self._slice.end:
                await self._slice.yield_to_event_loop()
        if again:
            self._try_each_alone(again)

    async def _handle(
        self, lane: Lane, work: BatchWork, outcome: Any, started: float, ended: float
    ) -> bool:
        """Handle the outcome of one record, fused steps included; whether the record is done."""
        attempts, step, error = self._attempts, self._step, None
        if isinstance(outcome, FailedCall):
            outcome = outcome.error
        if isinstance(outcome, BaseException):
            outcome, error = None, as_failure(outcome)
        try:
            if not attempts.settle(work, step, started, outcome, error, ended):
                return False
            if not work.pending:
                attempts.pass_to_outbox(work)
                return True
            lane.work = work
            await attempts.try_pending(work, lane)
        except AbandonedError:
            return False
        finally:
            lane.work = None
            attempts.end_probe(work)
        return not work.holds_key

    def _try_each_alone(self, failed: Sequence[tuple[BatchWork, Exception]]) -> None:
        """Try records alone whose call has failed as a whole, which was no attempt of theirs.

        At once, or after the first wait of the policy, if the world is at fault: it would be called
        once for each of them now.
        """
        step, error = self._step, gravest(failed[0][1], self._step.policy)
        step.metrics.failed_batches += 1
        if isinstance(error, TimeoutError):
            step.metrics.timeouts += 1
        works = [work for work, _ in failed if work.order_key is None or work.holds_key]
        if whose_fault(error) is not Fault.WORLD:
            self._ready.put_first(works)
            return
        backoff = step.policy.for_error(error).backoff
        for work in works:
            self._retries.add(work, backoff.delay_seconds(1, self._rng))

    def _try_again(self, works: Sequence[BatchWork]) -> None:
        """Try those again whose call was cancelled because of others."""
        self._ready.put_first(
            work
            for work in works
            if not work.partition.closed and (work.order_key is None or work.holds_key)
        )
