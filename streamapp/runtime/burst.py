"""A burst: first attempts on the records of one chunk, one after the other.

Hot path: everything here runs for each record, so it is one loop over local names, and the only
module that does without small functions. Whatever is rare (an attempt that fails, large
outputs) leaves the loop and goes on in `attempts`. What is counted of each record (offsets, bytes,
durations, ages, outcomes) is counted for a whole run of records at once, by `_count_finished`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from streamapp.clock import Clock
from streamapp.errors import RecordError
from streamapp.observability.meter import observe_ages, observe_durations
from streamapp.pipeline.agent_call import CheckedOutputs, unwritable, unwritable_key
from streamapp.pipeline.context import RecordContext
from streamapp.pipeline.out import KEEP, Out
from streamapp.pipeline.stage import Ordering
from streamapp.policies.gravest import NOT_OF_THE_AGENT, as_failure
from streamapp.record import Headers, Record, event_timestamp, without_error_headers
from streamapp.runtime.attempts import Attempts
from streamapp.runtime.delivery import Delivery
from streamapp.runtime.encoding import Append, Outlet, Writer, writer_of
from streamapp.runtime.event_times import event_timestamps, need_dating
from streamapp.runtime.flush import Outlets
from streamapp.runtime.fused_call import fused_call
from streamapp.runtime.hold import Hold
from streamapp.runtime.lane import Lane
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Phase
from streamapp.runtime.ready import Chunk, ReadyQueue
from streamapp.runtime.retry_later import RetriedRecords
from streamapp.runtime.slices import TimeSlice
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Item, Work

WHOLE_PARTITION = b""
"""The order key of all records where a partition is worked on in its order."""


class Burst:
    """Works through chunks; one of the `FirstAttempts`.

    In one thread, no other code runs during an attempt until that attempt suspends, so a record
    needs to hold its key only from then on. The code that runs next calls `publish_progress`: it
    makes a `Work` of the suspended record and counts the records that the lane finished before it.

    Args:
        steps: the steps of the segment; those that follow the first are part of the burst.
        ordering: which records wait for one another.
        attempts: takes over what leaves the loop.
        ready: where keys are held.
        delivery: takes the outputs.
        time_slice: how long a burst may take.
        clock: measures attempts.
        hold: is told what has succeeded.
        retried: makes work of what comes back from retry topics.
        reads_between: whether it reads a topic that another stage writes, which may have put event
            times into headers.
    """

    def __init__(
        self,
        steps: tuple[StepRunner, ...],
        ordering: Ordering,
        attempts: Attempts,
        *,
        ready: ReadyQueue,
        delivery: Delivery,
        time_slice: TimeSlice,
        clock: Clock,
        hold: Hold,
        retried: RetriedRecords,
        reads_between: bool = False,
    ) -> None:
        self._steps = steps
        self._fused = tuple(map(fused_call, steps, steps[1:]))
        self._marks_each = len(steps)
        self._by_key = ordering is Ordering.KEY
        self._whole = WHOLE_PARTITION if ordering is Ordering.PARTITION else None
        topics = [outlet.topic for outlet in steps[-1].outlets.values()]
        self._outlets = Outlets(topics, keep_keys=True, order_key=self._order_key)
        self._rekeyed = Outlets(topics, keep_keys=False, order_key=self._order_key)
        self._attempts = attempts
        self._ready = ready
        self._delivery = delivery
        self._slice = time_slice
        self._clock = clock
        self._event_times = [topic.event_times for topic in topics]
        self._hold = hold
        self._reads_between = reads_between
        self._with_care = any(step.needs_every_record for step in steps)
        self._retried = retried
        self._current: Lane | None = None
        self.run_waited = attempts.run

    async def run_due(self, _lane: Lane, _started: float) -> None:
        """Do nothing: no record waits for others."""

    def publish_progress(self) -> None:
        """Book what the current lane has finished, and make known which attempt has suspended."""
        lane, self._current = self._current, None
        if lane is None or lane.chunk is None or lane.record is None:
            return
        done = (len(lane.marks) - 1) % self._marks_each  # steps of the record that has suspended
        passed = lane.marks[len(lane.marks) - done :]
        del lane.marks[len(lane.marks) - done :]
        self._count_finished(lane, lane.place)
        lane.marks += passed
        if lane.work is None:  # else an earlier step of this record has suspended, too
            lane.work = self._work_on(lane.record, lane.chunk)
            self._ready.hold_key(lane.work)
        if done:
            lane.work.item = _item(done, lane.packed, lane.record)
            # At once: what succeeded before an outage is no sign that others succeed within it.
            keys = (lane.record.key,) if self._hold.wants_keys else ()
            self._hold.succeeded_many(done, 1, keys, lane.marks[-1 - done :], first=lane.told)
            lane.told = done
        lane.deadline = lane.marks[-1] + self._steps[done].timeout_seconds

    async def run(  # noqa: C901, PLR0912, PLR0915 - hot path: no further call for each record
        self, lane: Lane, chunk: Chunk, started: float
    ) -> None:
        """Take records of the chunk until it is used up, the slice is over, or one leaves the loop.

        Args:
            lane: runs this.
            chunk: where records are taken from.
            started: monotonic seconds now.
        """
        if chunk.with_care or self._with_care:
            await self._attempt_next(lane, chunk, started)
            return
        step = first = self._steps[0]
        partition, contexts = chunk.partition, lane.contexts
        agent, (decode, otherwise) = step.agent, step.decoders.quick(partition.name.topic)
        function, is_async, with_context = agent.function, agent.is_async, agent.takes_context
        fused = self._fused
        last, bare_out = self._steps[-1], None if fused else Out
        outlet = last.outlets.get(None)
        written = last.agent.plain if outlet is not None else None  # class of what is written
        at = step.places[partition.name]
        context: RecordContext | None = None
        holders, ready, by_key = self._ready.holders(partition), self._ready, self._by_key
        monotonic, slice_end = self._clock.monotonic, self._slice.end
        task, used, clean = lane.task, contexts.current, contexts.clean
        assert task is not None  # noqa: S101 - this runs in it
        self.publish_progress()
        lane.begin(chunk, started)
        if chunk.is_dated is None:
            chunk.is_dated = need_dating(
                chunk.records, self._event_times, have_headers=self._reads_between
            )
        marks, mark = lane.marks, lane.marks.append
        write: Callable[[Any, Record], object] | None = None
        write_keyed: Any = None
        work: Work | None = None
        item: Item | None = None
        error: Exception | None = None
        result: Any = None
        packed: Any = None
        unusual, closed = is_async or fused, Phase.CLOSED
        leaves_early = False  # whether a fused agent has asked for the audit trail, or has to end
        place, leaves = -1, True
        for place, record in chunk.untaken:
            if holders:
                order_key = record.key if by_key else self._whole
                if order_key is not None and (holder := holders.get(order_key)) is not None:
                    self._count_finished(lane, place)
                    self._attempts.make_wait_behind(holder, Work(record, partition, order_key))
                    continue
            try:
                if used != clean:  # the attempt before has set a variable
                    used = await contexts.renew()
            except Exception:  # noqa: BLE001 - its value may refuse to compare
                used = await contexts.renew()
            try:
                value = decode(record.value)  # type: ignore[arg-type]  # None raises, and is told apart
            except BaseException as raised:  # noqa: BLE001 - what a user's validator raises
                value, error = self._decode_otherwise(otherwise, record.value, raised)
                if error is not None:
                    step = first
                    break
            try:
                if with_context:
                    context = RecordContext(at, record, 1)
                    result = function(value, context)
                    if context.trail is not None:  # of an async agent, nothing has run yet
                        step = first
                        break
                else:
                    result = function(value)
                if is_async:
                    lane.place, lane.record = place, record
                    self._current = lane
                    result = await result
            except BaseException as raised:  # noqa: BLE001 - an agent's may be any
                step, result, error = first, None, self._failure(lane, first, raised)
                work = lane.work if is_async else None  # others know of it if it has suspended
                break
            if unusual:
                step = first
                if is_async:
                    work = lane.work  # it has suspended, and others know of it
                    if work is not None:
                        write, slice_end = None, 0.0  # the open flush and the slice may be others
                        if ready.is_held:
                            break  # the next step may be down
                    if (
                        task.cancelling()
                        or partition.phase is closed
                        or lane.interruption is not None
                    ):
                        break
                    if context is not None and context.trail is not None:
                        break
                for before, later, later_agent, is_plain, pack, unpack in fused:
                    if type(result) is not before:
                        break
                    if pack is not None:
                        try:
                            result = pack(result)
                        except Exception as raised:  # noqa: BLE001 - what a user's serialiser raises
                            result, error = None, unwritable(raised)
                            break
                    mark(monotonic())
                    step, packed = later, result
                    try:
                        if used != clean:
                            used = await contexts.renew()
                    except Exception:  # noqa: BLE001 - the same
                        used = await contexts.renew()
                    if pack is not None:
                        try:
                            result = unpack(packed)
                        except BaseException as raised:  # noqa: BLE001 - a user's validator
                            result, error = None, self._undecodable(step, packed, raised)
                            break
                    try:
                        if is_plain:
                            result = later_agent.function(result)
                        else:
                            if later_agent.takes_context:
                                context = RecordContext(later.places[partition.name], record, 1)
                                if record.headers:  # as in later attempts, and behind a topic
                                    own_headers = without_error_headers(record.headers)
                                    context._value_headers = own_headers  # noqa: SLF001 - as for later attempts
                                result = later_agent.function(result, context)
                            else:
                                result = later_agent.function(result)
                            if later_agent.is_async:
                                current = self._current
                                if current is not None and current is not lane:
                                    self.publish_progress()  # it began to wait while this one did
                                lane.place, lane.record, lane.packed = place, record, packed
                                self._current = lane
                                result = await result
                    except BaseException as raised:  # noqa: BLE001 - the same
                        result, error = None, self._failure(lane, later, raised)
                        work = lane.work
                        break
                    if is_plain:
                        continue
                    if later_agent.is_async:
                        if self._current is lane:
                            self._current = None
                        else:  # it has suspended, and others know of it
                            work, write, slice_end = lane.work, None, 0.0
                        leaves_early = (
                            task.cancelling() > 0
                            or partition.phase is closed
                            or lane.interruption is not None
                            or (work is not None and ready.is_held)
                        )
                    if leaves_early or (context is not None and context.trail is not None):
                        leaves_early = True
                        break
                if error is not None or step is not last or leaves_early:
                    break
            if type(result) is written:
                if write is None:
                    write, write_keyed = self._writer_to(chunk, outlet)
                try:
                    write(result, record)
                except RecordError as raised:
                    result, error = None, raised
                    break
            elif result is None:
                lane.filtered += 1
            elif type(result) is bare_out:
                own_key: Any = result.key
                lane.rekeys = True
                try:
                    if (
                        type(result.value) is written
                        and (type(own_key) is str or type(own_key) is bytes)
                        and result.headers is KEEP
                        and result.to is None
                    ):
                        if type(own_key) is str:
                            own_key = own_key.encode()
                        if write is None:
                            write, write_keyed = self._writer_to(chunk, outlet)
                        write_keyed(result.value, record, own_key)
                    else:
                        headers = without_error_headers(record.headers)
                        output = step.make_output(agent.output(result), record.key, headers)
                        if isinstance(output, Item):
                            break
                        self._append_to(chunk, output[0])(*output[1:], event_timestamp(record))
                except UnicodeError as raised:
                    result, error = None, unwritable_key(raised)
                    break
                except Exception as raised:  # noqa: BLE001 - what is in it may be anything
                    result, error = None, as_failure(raised)
                    break
            elif type(result) is CheckedOutputs or type(result) is list:
                headers = without_error_headers(record.headers)
                made = (
                    None if chunk.is_dated else step.make_all_written(result, record.key, headers)
                )
                if made is None:
                    break
                if not made:
                    lane.filtered += 1
                for output in made:
                    self._append_to(chunk, output[0])(*output[1:], record.timestamp)
            else:
                break
            ended = monotonic()
            mark(ended)
            if ended >= slice_end:
                leaves = False
                if work is None:
                    break
                self._count_finished(lane, place + 1)
                ready.release_key(work)
                lane.work = lane.deadline = work = None
                self.publish_progress()  # another may have begun and suspended meanwhile
                slice_end = self._slice.end  # others have had their turns
                if ended >= slice_end or ready.first or ready.next_chunk() is not chunk:
                    break  # a drain may have dropped the chunk
                leaves = True
        else:
            ready.mark_used_up(chunk)
            leaves = False
        if self._current is lane:  # else it has suspended, and another one is current now
            self._current = None
        elif leaves:
            self.publish_progress()  # its success is told before the failure of this one
        if leaves:
            started = marks[-1]
            if step.index:
                item = _item(step.index, packed, record)
                self._count_passed_steps(lane, step.index)
        self._count_finished(lane, place if leaves else place + 1)
        lane.chunk = lane.record = lane.packed = None  # a parked lane keeps no records in memory
        if place >= 0:
            lane.last_offset = record.offset
        if not leaves:
            return
        if work is None:
            work = lane.work = self._work_on(record, chunk)
            ready.hold_key(work)  # what follows may wait, as a fused step does
        work.item = item
        if error is None:
            work.context = context
        await self._attempts.handle_result(work, lane, step, started, result, error)

    async def _attempt_next(self, lane: Lane, chunk: Chunk, started: float) -> None:
        """Work on the next record of a chunk as on one that has waited: attempts look closer."""
        lane.work = self._take_from(chunk)
        if lane.work is not None:
            lane.last_offset = lane.work.record.offset
            await self._attempts.run(lane.work, lane, started)

    def take_one(self) -> Work | None:
        """Take the next record whose attempt can begin, even while records are held."""
        work = None
        while work is None and (chunk := self._ready.first_chunk()) is not None:
            work = self._take_from(chunk)
        return work

    def _take_from(self, chunk: Chunk) -> Work | None:
        """Take the next record of a chunk; `None` if there is none, or it waits for its key."""
        self.publish_progress()
        taken = next(chunk.untaken, None)
        if taken is None:
            self._ready.mark_used_up(chunk)
            return None
        if chunk.partition.name.topic in self._retried.topics:
            order_key = self._order_key(taken[1])
            work = self._retried.work_on(taken[1], chunk.partition, order_key)
        else:
            work = self._work_on(taken[1], chunk)
        if (holder := self._ready.holder_of(work)) is not None:
            self._attempts.make_wait_behind(holder, work)
            return None
        self._ready.hold_key(work)
        return work

    def _count_finished(self, lane: Lane, until: int) -> None:
        """Account for the records that the lane has finished in a row, up to a place in its chunk.

        Their outputs are in the open flush, which takes them over.
        """
        marks, chunk, each = lane.marks, lane.chunk, self._marks_each
        count = (len(marks) - 1) // each
        if not count or chunk is None:
            return
        first, records = until - count, chunk.records
        outlets = self._rekeyed if lane.rekeys else self._outlets
        self._delivery.outbox(chunk.partition).flush().add_finished(
            chunk.partition, records, first, until, outlets
        )
        for i, step in enumerate(self._steps):
            metrics = step.metrics
            filtered = lane.filtered if i == each - 1 else 0
            metrics.processed += count - filtered
            metrics.filtered += filtered
            metrics.records_in += count if i else 0  # those of the first were counted by the intake
            observe_durations(metrics.attempt_duration, marks, i, each)
        hold = self._hold
        keys = [records[i].key for i in range(first, until)] if hold.wants_keys else ()
        hold.succeeded_many(each, count, keys, marks, first=lane.told)
        lane.told = 0
        wall_less_monotonic = self._clock.time() - self._clock.monotonic()
        observe_ages(
            self._steps[0].metrics.age,
            event_timestamps(records, first, until)
            if chunk.is_dated
            else records.timestamps(first, until),
            marks,
            each,
            wall_less_monotonic,
        )
        lane.filtered, lane.rekeys = 0, False
        del marks[:-1]

    def _count_passed_steps(self, lane: Lane, done: int) -> None:
        """Account for the steps that a record has passed before the one that leaves the burst."""
        marks = lane.marks[-1 - done :]
        del lane.marks[-done:]
        self._hold.succeeded_many(done, 1, (), marks, first=lane.told)
        lane.told = 0
        for i in range(done):
            metrics = self._steps[i].metrics
            metrics.processed += 1
            observe_durations(metrics.attempt_duration, marks[i : i + 2], 0, 1)
            self._steps[i + 1].metrics.records_in += 1

    def _writer_to(self, chunk: Chunk, outlet: Outlet | None) -> Writer:
        """What writes to the open batches of an outlet; until the lane gives way."""
        assert outlet is not None  # noqa: S101 - without one, no result is of the class it writes
        if chunk.is_dated:
            return writer_of(outlet.encode, self._append_to(chunk, outlet.topic))
        return self._delivery.outbox(chunk.partition).flush().writer_for(outlet)

    def _append_to(self, chunk: Chunk, topic: OutputTopic) -> Append:
        """What adds an output to the open batches of a topic; until the lane gives way."""
        append = self._delivery.outbox(chunk.partition).flush().batches_for(topic).append
        if not chunk.is_dated:
            return append

        def append_dated(
            key: bytes | None, value: bytes | None, headers: Headers, timestamp: int
        ) -> int:
            return append(key, value, *topic.date(headers, timestamp))

        return append_dated

    def _work_on(self, record: Record, chunk: Chunk) -> Work:
        return Work(record, chunk.partition, self._order_key(record))

    def _order_key(self, record: Record) -> bytes | None:
        return record.key if self._by_key else self._whole

    def _failure(self, lane: Lane, step: StepRunner, raised: BaseException) -> Exception:
        """What an attempt failed with, as an error that a policy can decide about."""
        # Its type is asked and not `isinstance`: a user's own `__class__` may raise.
        if issubclass(type(raised), NOT_OF_THE_AGENT):
            raise raised
        if issubclass(type(raised), asyncio.CancelledError):
            return self._attempts.error_of_interruption(lane, step)
        return as_failure(raised)

    def _decode_otherwise(
        self,
        decode: Callable[[bytes], Any] | None,
        value: bytes | None,
        raised: BaseException,
    ) -> tuple[Any, Exception | None]:
        """The value of a record that the quick way has refused, or its error."""
        if decode is not None and isinstance(raised, ValueError):
            try:
                return decode(value), None  # type: ignore[arg-type]  # None raises, and is told apart
            except BaseException as refused:  # noqa: BLE001 - the same
                raised = refused
        return None, self._undecodable(self._steps[0], value, raised)

    def _undecodable(
        self, step: StepRunner, value: bytes | None, raised: BaseException
    ) -> Exception:
        if issubclass(type(raised), NOT_OF_THE_AGENT):
            raise raised
        return step.undecodable(value, as_failure(raised))


def _item(step: int, packed: Any, record: Record) -> Item:
    """What a fused step takes, as the step before it has given it."""
    return Item(step, packed, record.key, without_error_headers(record.headers))
