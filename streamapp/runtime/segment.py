"""A segment at work: its parts put together, from the first assignment to the last commit."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import (
    BatchRefusedError,
    BrokerError,
    StageStoppedError,
    StreamappError,
    TopicError,
)
from streamapp.observability.occurrences import OccurrenceKind
from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.pipeline.combinators.pool import named_pools
from streamapp.pipeline.threads import threads_in_use
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.attempts import Attempts
from streamapp.runtime.backlog import Backlog
from streamapp.runtime.blocked_loop import BlockedLoop
from streamapp.runtime.choose_attempts import first_attempts_of
from streamapp.runtime.compiled import compiled, consumer_config
from streamapp.runtime.config import Environment
from streamapp.runtime.delivery import AtLeastOnce
from streamapp.runtime.due_times import DueTimes
from streamapp.runtime.failures import FailureHandler
from streamapp.runtime.hold import Hold
from streamapp.runtime.in_flight import InFlight
from streamapp.runtime.intake import Halt, Intake
from streamapp.runtime.lag import LagWatch
from streamapp.runtime.lanes import Lanes
from streamapp.runtime.membership import Membership
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.refusals import Refusals
from streamapp.runtime.replay import Replay
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.segment_topics import SegmentTopics
from streamapp.runtime.slices import TimeSlice
from streamapp.version import VERSION

log = logging.getLogger(__name__)

UNANSWERED_STOP_SECONDS = 1.0
"""Longest wait for a consumer to close when Kafka has not answered its last commit.

Kafka will hardly answer its request to leave the group either, so a longer wait is of no use.
"""

START_PAUSE_SECONDS = 5.0
"""Wait between two attempts to start a consumer while its worker runs already."""

_TOLD = {
    StageState.RUNNING: (OccurrenceKind.STARTED, f"runs, with streamapp {VERSION}"),
    StageState.STOPPED: (OccurrenceKind.ENDED, "has ended"),
    StageState.FAILED: (OccurrenceKind.FAILED, "has failed"),
}


class SegmentRunner:
    """Runs one segment until it is asked to stop or a policy says stop.

    When partitions are taken away, or replayed after a failed batch, their objects are closed:
    whatever still refers to them can neither send nor commit.

    Args:
        segment: what to run.
        topics: what every topic that it reads or writes is like.
        metrics: counters of each of its stages.
        environment: what it shares with the other segments of the worker.

    Attributes:
        environment: the same; a runner that follows on this one needs it, too.
        topics: its topics as they are now.
    """

    def __init__(
        self,
        segment: Segment,
        topics: Mapping[str, TopicDescription],
        metrics: tuple[StageMetrics, ...],
        environment: Environment,
    ) -> None:
        self.segment = segment
        self.metrics = metrics
        self.environment = environment
        self._head = metrics[0]
        self._stopping = asyncio.Event()
        self._error: StreamappError | None = None
        clock, stage = environment.clock, segment.steps[0].stage.config
        self._progress = ProgressWatch(self._head, clock)
        self._consumer = environment.broker.consumer(consumer_config(segment, environment), self)
        self._assignment = Assignment(self._consumer, self._head)
        # Threads are started when they are needed, no more than attempts run side by side.
        self._threads = ThreadPoolExecutor(stage.concurrency, thread_name_prefix=segment.full_name)
        self._steps, targets = compiled(segment, topics, metrics, self._threads, environment)
        self._refusals = Refusals(targets, clock, segment.full_name)
        for step in self._steps:
            step.refusals = self._refusals
        self._delivery = AtLeastOnce(
            self._assignment,
            environment,
            self._progress,
            max_bytes=stage.max_in_flight_bytes,
            refusals=self._refusals,
            on_finished=self._records_finished,
            on_failed=self._batch_failed,
            on_lost=self._commits_fail,
        )
        self._changed = asyncio.Event()  # something ended, was sent or was dropped
        ready = ReadyQueue()
        retries = RetryQueue(clock, ready, self._head)
        self._hold = Hold(segment, self._steps, environment, ready=ready, retries=retries)
        self._lanes = self._make_lanes(ready, retries)
        self._in_flight = InFlight(
            ready,
            self._lanes,
            retries,
            self._delivery,
            clock=clock,
            metrics=self._head,
            changed=self._changed,
        )
        self._intake = Intake(self._assignment, stage, clock, ready, self._refusals)
        self._intake.fetch_seconds = environment.config.fetch_seconds
        self._intake.output_bytes = lambda: self._delivery.held_bytes
        self._intake.on_end = self._delivery.commit_soon
        self._intake.on_admitted = self._hold.records_came
        self._hold.on_change = self._halt_while_held
        self._intake.on_dead_end = self._end_with
        self._intake.on_ended = lambda error: self._membership.rejoin(str(error))
        self._intake.backlog = Backlog(
            self._assignment, stage, ready=ready, retries=retries, lanes=self._lanes
        )
        self._replay = Replay(self._assignment, self._intake, self._in_flight, targets, environment)
        self._intake.alone = frozenset((*segment.retry_topics, *segment.replay_topics))
        if segment.retry_topics:
            self._intake.due_times = DueTimes(segment, self._assignment, environment)
        sources = {n: topics[n].partitions for n in segment.topics_among(topics)}
        self._head.retention_seconds = {
            name: kept_ms / 1000
            for name in sources
            if (kept_ms := topics[name].retention_ms) is not None
        }
        for declared, own in zip(segment.steps, metrics, strict=True):
            kept = topics[declared.dead_letters].retention_ms
            own.letter_retention_seconds = None if kept is None else kept / 1000
        self.topics = SegmentTopics(segment, sources, targets, self._assignment, environment)
        self._membership = Membership(
            segment.full_name,
            metrics,
            environment,
            assignment=self._assignment,
            intake=self._intake,
            in_flight=self._in_flight,
            delivery=self._delivery,
            replay=self._replay,
            topics=self.topics,
            progress=self._progress,
            marks_commits=segment.reader is None,
        )
        self._blocked_loop = self._make_blocked_loop()
        self._lag = LagWatch(self._assignment, clock, on_measured=self._progress.lag_measured)

    def _make_lanes(self, ready: ReadyQueue, retries: RetryQueue) -> Lanes:
        clock, stage = self.environment.clock, self.segment.steps[0].stage.config
        delivery, time_slice = self._delivery, TimeSlice(clock)
        hold = self._hold
        failures = self._failures = FailureHandler(
            self.environment, stage, retries=retries, hold=hold, on_stop=self._stop_on
        )
        hold.on_too_long = failures.stop_after_hold
        attempts = Attempts(
            self._steps, ready, delivery, failures, time_slice, clock=clock, hold=hold
        )
        first = hold.first = first_attempts_of(
            self.segment,
            self._steps,
            attempts,
            self.environment,
            ready=ready,
            retries=retries,
            delivery=delivery,
            time_slice=time_slice,
            hold=hold,
        )
        return Lanes(
            first,
            attempts,
            self.segment.attempts_at_once,
            clock,
            self._head,
            suspends=any(step.agent.is_async for step in self._steps),
            ready=ready,
            delivery=delivery,
            time_slice=time_slice,
            changed=self._changed,
        )

    def _make_blocked_loop(self) -> BlockedLoop | None:
        agents = [step.stage.agent for step in self.segment.steps if not step.stage.agent.blocking]
        if not agents:
            return None
        return BlockedLoop(
            [agent.name for agent in agents],
            self.environment.config.session_timeout_seconds,
            assignment=self._assignment,
            lanes=self._lanes,
            clock=self.environment.clock,
            on_stop=self._stop_on,
        )

    @property
    def has_left_attempts(self) -> bool:
        """Whether attempts still run, after `run` has ended, since they cannot be cancelled."""
        return self._lanes.has_left_some

    def stop(self) -> None:
        """Drain and end; may be called more than once."""
        self._stopping.set()

    def agent_lost(self) -> None:
        """Drain and end, because one of its agents has ended by itself.

        An attempt that fails from now on is no record's fault, and the record will be read again.
        """
        self._failures.agent_is_lost = True
        self._in_flight.drop_not_running()  # now: lanes go on before the drain begins
        self.stop()

    def end_at(self, until: Mapping[TopicPartition, int]) -> None:
        """Work on no record at or past these offsets."""
        self._assignment.end_at(until)

    async def run(self, *, keeps_trying: bool = False) -> None:
        """Work until stopped.

        Args:
            keeps_trying: whether a broker that cannot be reached at the start is waited for.

        Raises:
            StageStoppedError: a policy said stop; all other work is drained and committed.
            UnreadableRecordError, OffsetOutOfRangeError: nothing more can be read of a partition;
                all records before are finished, and all other work is drained and committed.
            BrokerError: the consumer could not start, and `keeps_trying` is false.
        """
        self._state(StageState.STARTING)
        for metrics, step in zip(self.metrics, self.segment.steps, strict=True):
            metrics.cut_off_since = self.environment.clock.monotonic()  # until its first assignment
            metrics.pools = named_pools(step.stage.agent)
            metrics.retry_topics = tuple(topic.name for topic in step.retry_topics)
        self._head.read_retry_topics = self.segment.retry_topics.keys()
        self._head.max_in_flight_records = self.segment.steps[0].stage.config.max_in_flight_records
        self._head.attempts_at_once = self.segment.attempts_at_once
        try:
            await self._start(keeps_trying=keeps_trying)
            self._state(StageState.RUNNING)
            async with asyncio.TaskGroup() as group:
                with threads_in_use(self._threads):
                    tasks = [
                        group.create_task(work, name=f"{self.segment.full_name} {name}")
                        for name, work in self._background()
                    ]
                await self._stopping.wait()
                await self._shut_down()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:
            self._state(StageState.FAILED)
            # If a policy said stop, that is the cause of all others; else the first error is.
            raise self._error or _first(errors) from None
        except BaseException:
            self._state(StageState.FAILED)
            raise
        finally:
            self._threads.shutdown(wait=False)  # a lane waits for each that still runs
            await self._close_consumer()
            for metrics in self.metrics:
                metrics.end()
        if self._error is not None:
            self._state(StageState.FAILED)
            raise self._error
        self._state(StageState.FAILED if self._failures.agent_is_lost else StageState.STOPPED)

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Open newly assigned partitions."""
        await self._membership.assigned(partitions)

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Finish what is in flight within the deadline, commit, and give all partitions back."""
        await self._membership.revoked(partitions)

    def _background(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "lanes", self._lanes.run(self.segment.full_name)
        yield "intake", self._intake.run()
        yield "delivery", self._delivery.run()
        yield "lag", self._lag.run()
        yield "hold", self._hold.run()
        yield "replay", self._replay.run()
        yield "membership", self._membership.run()
        if self._blocked_loop is not None:
            yield "blocked loop", self._blocked_loop.run()
        if any(step.agent.is_async for step in self._steps):
            yield "deadlines", self._sweep()

    async def _start(self, *, keeps_trying: bool) -> None:
        """Start the consumer; it need not start any more once the segment is to stop."""
        if not keeps_trying:
            await self._consumer.start()
            return
        while not self._stopping.is_set():
            try:
                await self._consumer.start()
            except (BrokerError, TopicError) as error:
                log.warning("%s: the group cannot be joined yet: %s", self.segment.full_name, error)
                await self._pause_or_stop(START_PAUSE_SECONDS)
            else:
                return

    async def _pause_or_stop(self, seconds: float) -> None:
        """Wait so long, or until the segment is to stop."""
        sleeping = asyncio.ensure_future(self.environment.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()

    async def _sweep(self) -> None:
        """Cancel attempts that take too long: one timer for all lanes."""
        shortest = min(step.timeout_seconds for step in self._steps if step.agent.is_async)
        # A tenth of the shortest timeout: attempts are cancelled at most that much too late.
        interval_seconds = max(0.01, min(1.0, shortest / 10))
        while True:
            await self.environment.clock.sleep(interval_seconds)
            self._in_flight.sweep()
            self._hold.give_up_stuck_probe(self._lanes.stuck())

    async def _shut_down(self) -> None:
        self._state(StageState.DRAINING)
        if not await self._membership.leave():
            log.warning(
                "stage %s of %s could not finish or write all records in flight;"
                " they will be read again",
                self.segment.name,
                self.segment.pipeline,
            )

    def _records_finished(self) -> None:
        self._replay.batches_acknowledged()
        self._changed.set()
        self._intake.on_capacity()

    def _halt_while_held(self) -> None:
        """Read no records while others are held, unless some are needed to probe with."""
        if self._hold.is_on and not self._hold.needs_records:
            self._intake.halt(Halt.HELD)
        else:
            self._intake.lift(Halt.HELD)
        self._changed.set()

    def _batch_failed(self, error: BaseException) -> None:
        log.warning(
            "stage %s of %s: a batch failed, so all unfinished records are read again: %s",
            self.segment.name,
            self.segment.pipeline,
            error,
        )
        self._head.producer_replacements += 1
        told = "a batch failed, so all unfinished records are read again"
        now = self.environment.clock.monotonic()
        self._head.occurrences.add(now, OccurrenceKind.BATCH_FAILED, told)
        is_refusal = isinstance(error, BatchRefusedError)
        self._replay.batch_failed(at_once=is_refusal and self._refusals.has_narrowed)

    def _commits_fail(self) -> None:
        seconds = self.environment.config.commit_deadline_seconds
        self._membership.rejoin(f"no commit has succeeded for {seconds:g} s")

    def _stop_on(self, error: StageStoppedError) -> None:
        """Hold the record that said stop, and end."""
        if self._error is None:
            self._in_flight.drop_all_but_before(error)  # now: lanes go on before the drain begins
        self._end_with(error)

    def _end_with(self, error: StreamappError) -> None:
        """Take no more records, and end in good order; the first reason is told."""
        if self._error is None:
            self._error = error
            self._intake.halt(Halt.STOPPED)
            self._stopping.set()

    def _state(self, state: StageState) -> None:
        now = self.environment.clock.monotonic()
        for metrics in self.metrics:
            metrics.state, metrics.state_since = state, now
        if state in _TOLD:
            self._head.occurrences.add(now, *_TOLD[state])

    async def _close_consumer(self) -> None:
        # A coordinator that did not answer the last commit will not answer the request to leave
        # the group either, and the stop as a whole has to end within the sum of its deadlines.
        seconds = self.environment.config.stop_timeout_seconds
        if not self._membership.last_commit_succeeded:
            seconds = min(seconds, UNANSWERED_STOP_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                await self._consumer.stop()
        except (BrokerError, TimeoutError) as error:
            log.warning("the consumer did not close properly: %r", error)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of nested groups, which has ended the tasks of the others."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
