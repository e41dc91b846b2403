"""A burst: first attempts on records of one chunk, one after the other.

Hot path: everything here runs for each record, so it is one loop over local names, and the only
module that does without small functions. Whatever is rare (an attempt that suspends or fails, more
than one output, a fused step) leaves the loop and goes on in `attempts`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from streamapp.clock import Clock
from streamapp.errors import RecordError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.context import Context
from streamapp.pipeline.stage import Ordering
from streamapp.record import Headers
from streamapp.runtime.attempts import NOT_OF_THE_AGENT, Attempts
from streamapp.runtime.lane import Lane
from streamapp.runtime.outbox import Flush, Share
from streamapp.runtime.ready import Chunk
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Work

WALL_SECONDS = 0.001
"""How exact the age of a record is."""

WHOLE_PARTITION = b""
"""The order key of all records where a partition is worked on in its order."""


_NOTHING = Share()


def _append_nowhere(
    _key: bytes | None, _value: bytes | None, _headers: Headers, _timestamp: int
) -> None:
    """Stands for the open batches until there are some."""


class Burst:
    """Works through chunks.

    While an attempt runs, nobody else does, unless it suspends: so a record holds its key only
    from then on. `register` is called by whoever runs next, and makes the record known.

    Args:
        step: the first step of the segment.
        ordering: which records wait for one another.
        attempts: takes over what leaves the loop.
        clock: measures attempts.
    """

    def __init__(
        self, step: StepRunner, ordering: Ordering, attempts: Attempts, clock: Clock
    ) -> None:
        self._step = step
        self._by_key = ordering is Ordering.KEY
        self._whole = WHOLE_PARTITION if ordering is Ordering.PARTITION else None
        self.attempts = attempts
        self._ready = attempts.ready
        self._delivery = attempts.delivery
        self._slice = attempts.slice
        self._clock = clock
        self._current: Lane | None = None

    def register(self) -> None:
        """Make the record known whose attempt has suspended, if there is one that is not."""
        lane, self._current = self._current, None
        if lane is None or lane.record is None or lane.partition is None:
            return
        work = Work(lane.record, lane.partition, self._order_key(lane.record.key))
        lane.work = work
        lane.deadline = lane.started + self._step.timeout_seconds
        self._ready.hold(work)

    def _order_key(self, key: bytes | None) -> bytes | None:
        return key if self._by_key else self._whole

    async def run(  # noqa: C901, PLR0912, PLR0915 - hot path: no further call for each record
        self, lane: Lane, chunk: Chunk, started: float
    ) -> None:
        """Take records of the chunk until it is used up, the slice is over, or one leaves the loop.

        Args:
            lane: runs this.
            chunk: where records are taken from.
            started: monotonic seconds now.
        """
        step, partition = self._step, chunk.partition
        outbox = self._delivery.outbox(partition)
        decode, agent = step.decoders[partition.name.topic], step.agent
        function, is_async = agent.function, agent.is_async
        plain = agent.plain
        target, encode = step.outlets.get(None, (None, None))
        with_context, by_key = agent.takes_context, self._by_key
        holders = self._ready.holders(partition)
        metrics: StageMetrics = step.metrics
        durations, ages = metrics.attempt_duration, metrics.age
        duration_counts, age_counts = durations.counts, ages.counts
        last_duration, last_age = durations.last, ages.last
        monotonic, slice_end = self._clock.monotonic, self._slice.end
        wall_less_monotonic = self._clock.time() - started
        wall_ms, wall_until, timestamp = 0, 0.0, -1
        age = age_bucket = total_duration = total_age = 0
        task = lane.task
        assert task is not None  # noqa: S101 - this runs in it
        flush: Flush | None = None
        share = _NOTHING
        append: Callable[[bytes | None, bytes | None, Headers, int], None] = _append_nowhere
        lane.partition = partition
        self.register()
        leaves, ready = True, self._ready
        work: Work | None = None
        result: Any
        for record in chunk.records:
            key = record.key
            if holders:
                order_key = key if by_key else self._whole
                if order_key is not None and (holder := holders.get(order_key)) is not None:
                    self.attempts.wait_behind(holder, Work(record, partition, order_key))
                    continue
            error: Exception | None = None
            raw = record.value
            try:
                value = decode(raw)  # type: ignore[arg-type]  # None raises, and is told apart
            except NOT_OF_THE_AGENT:
                raise
            except BaseException as raised:  # noqa: BLE001 - what a user's validator raises
                result, error = None, step.undecodable(raw, self.attempts.as_failure(raised))
            else:
                try:
                    if with_context:
                        context = Context(step.pipeline, step.stage_id, record, 1)
                        result = function(value, context)
                    else:
                        result = function(value)
                    if is_async:
                        lane.record = record
                        lane.started = started
                        self._current = lane
                        result = await result
                except asyncio.CancelledError:
                    result, error = None, self.attempts.interrupted(lane, step)
                except NOT_OF_THE_AGENT:
                    raise
                except BaseException as raised:  # noqa: BLE001 - an agent's may be any
                    result, error = None, self.attempts.as_failure(raised)
                if is_async:
                    work = lane.work  # it has suspended, and others know of it
                    if task.cancelling() or partition.closed or lane.interruption is not None:
                        break
            if error is None:
                if type(result) is plain and target is not None and encode is not None:
                    headers = record.headers
                    try:
                        encoded = encode(result, key, headers)
                    except RecordError as raised:
                        result, error = None, raised
                        break
                    if flush is None or outbox.open is not flush:
                        flush = outbox.open or outbox.begin()
                        share, append = flush.share(partition), flush.batches_for(target).append
                    append(key, encoded, headers, record.timestamp)
                    metrics.processed += 1
                elif result is None:
                    if flush is None or outbox.open is not flush:
                        flush = outbox.open or outbox.begin()
                        share = flush.share(partition)
                        append = flush.batches_for(target).append if target else append
                    metrics.filtered += 1
                else:
                    break
            else:
                break
            ended = monotonic()
            units = int((ended - started) * 1e6)
            bucket = units.bit_length()
            duration_counts[bucket if bucket < last_duration else last_duration] += 1  # noqa: FURB136 - a call costs more
            total_duration += units
            started = ended
            if ended >= wall_until or record.timestamp != timestamp:
                # Neighbours often share their millisecond, and so their age.
                if ended >= wall_until:
                    wall_ms = int((ended + wall_less_monotonic) * 1000)
                    wall_until = ended + WALL_SECONDS
                timestamp = record.timestamp
                age = max(0, wall_ms - timestamp)
                age_bucket = min(age.bit_length(), last_age)
            if timestamp >= 0:  # -1 is a record without one
                age_counts[age_bucket] += 1
                total_age += age
            share.offsets.append(record.offset)
            share.value_bytes += len(raw)  # type: ignore[arg-type]  # None does not decode
            if work is not None:
                ready.release(work)
                lane.work = lane.deadline = work = None
                self.register()  # another may have begun and suspended meanwhile
                slice_end = self._slice.end  # others have had their turns
                if ready.first or ready.chunk() is not chunk:  # a drain may have dropped it
                    leaves = False
                    break
            if ended >= slice_end:
                leaves = False
                break
        else:
            self._ready.used_up(chunk)
            leaves = False
        if self._current is lane:  # else it has suspended, and another one is current now
            self._current = None
        durations.total += total_duration
        ages.total += total_age
        if not leaves:
            return
        if work is None:
            work = lane.work = Work(record, partition, self._order_key(key))
            self._ready.hold(work)  # what follows may wait, as a fused step does
        await self.attempts.conclude(work, lane, step, started, result, error)
