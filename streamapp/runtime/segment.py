"""A segment at work: one consumer, its lanes, its outbox, from assignment to drain."""

import asyncio
import logging
import math
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from streamapp.brokers.protocols import ConsumerConfig, TopicDescription
from streamapp.errors import BrokerError, StageStoppedError
from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import StageMetrics, StageState
from streamapp.pipeline.topology import Segment
from streamapp.policies.backoff import Backoff
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.committer import Committer
from streamapp.runtime.config import Environment
from streamapp.runtime.failures import FailureHandler
from streamapp.runtime.intake import Intake
from streamapp.runtime.lag import LagWatch
from streamapp.runtime.lanes import Lanes
from streamapp.runtime.outbox import Flush, Outbox
from streamapp.runtime.partition import Partition
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.target import Target
from streamapp.runtime.work import Work

log = logging.getLogger(__name__)

REPLAY_BACKOFF = Backoff(base_seconds=0.5, max_seconds=10.0)
"""Waits before further replays when no batch in between was acknowledged."""


class SegmentRunner:
    """Runs one segment until it is asked to stop or a policy says stop.

    It listens to the rebalances of its consumer. When partitions are taken away, or replayed
    after a failed batch, their objects are closed: whatever still refers to them can neither
    send nor commit.

    Args:
        segment: what to run.
        topics: what every topic that it writes to is like.
        metrics: counters of each of its stages.
        environment: what it shares with the other segments of the worker.
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
        targets = [
            {name: Target(topics[name], own) for name in step.written_topics()}
            for step, own in zip(segment.steps, metrics, strict=True)
        ]
        self._targets = [target for by_name in targets for target in by_name.values()]
        self._env = environment
        self._head = metrics[0]
        self._stopping = asyncio.Event()
        self._replay = asyncio.Event()
        self._changed = asyncio.Event()
        self._error: StageStoppedError | None = None
        self._producer_generation = 0
        self._failed_batches = 0
        clock, config = environment.clock, environment.config
        stage = segment.steps[0].stage.config
        self._progress = ProgressWatch(self._head, clock)
        self._consumer = environment.broker.consumer(
            ConsumerConfig(
                group=segment.group,
                topics=(segment.source,),
                max_prefetch_bytes=stage.max_in_flight_bytes,
                rebalance_timeout_seconds=2 * config.revoke_drain_seconds + 10,
            ),
            self,
        )
        self._assignment = Assignment(self._consumer, self._head)
        partitions = self._assignment.partitions
        self._outbox = Outbox(
            environment,
            on_finished=self._finished,
            on_failed=self._output_failed,
        )
        self._steps = tuple(
            StepRunner(segment, i, targets[i], own) for i, own in enumerate(metrics)
        )
        self._lanes = Lanes(
            self._steps,
            _lane_count(segment, self._steps),
            clock,
            self._head,
            on_ended=self._outbox.add,
            on_failed=FailureHandler(
                environment, on_retry=self._retry_later, on_stop=self._stop_on
            ).handle,
            on_dry=self._dry,
        )
        self._retries = RetryQueue(clock, self._lanes.put_first)
        self._intake = Intake(self._consumer, stage, partitions, clock, self._head, self._lanes.put)
        self._committer = Committer(
            self._consumer,
            partitions,
            clock,
            self._head,
            interval_seconds=config.commit_interval_seconds,
        )
        self._lag = LagWatch(
            self._consumer, partitions, clock, self._head, on_measured=self._progress.lag_measured
        )
        environment.producer.on_replaced(self._suspend)

    def stop(self) -> None:
        """Drain and end; may be called more than once."""
        self._stopping.set()

    def end_at(self, until: Mapping[TopicPartition, int]) -> None:
        """Work on no record at or past these offsets."""
        self._assignment.end_at(until)
        self._intake.room()

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            StageStoppedError: a policy said stop; all other work is drained and committed.
            BrokerError: the consumer could not start, or its position is out of the log.
        """
        self._state(StageState.STARTING)
        self._producer_generation = self._env.producer.generation
        try:
            await self._consumer.start()
            self._state(StageState.RUNNING)
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(work, name=f"{self.segment.group} {name}")
                    for name, work in self._background()
                ]
                await self._stopping.wait()
                await self._shut_down()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:
            self._state(StageState.FAILED)
            # The policy's word counts for more than what came of it; else the first one ended
            # the others.
            raise self._error or errors.exceptions[0] from None
        except BaseException:
            self._state(StageState.FAILED)
            raise
        finally:
            await self._close_consumer()
        if self._error is not None:
            self._state(StageState.FAILED)
            raise self._error
        self._state(StageState.STOPPED)

    async def on_partitions_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Start on newly assigned partitions."""
        for metrics in self.metrics:
            metrics.rebalances += 1
            metrics.cut_off_since = None
        self._progress.assigned(partitions)
        self._assignment.open(partitions, self._intake.take_put_back())
        if self._replay.is_set():
            self._assignment.suspend()  # there is no producer now; they open with the others
        if not self._stopping.is_set():
            self._intake.go_on()
        log.info("%s: assigned %s", self.segment.group, _listed(partitions))

    async def on_partitions_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Finish what is in flight within the deadline, commit, and let go of everything.

        Rebalances are eager: whatever comes back comes as a new assignment.
        """
        self._intake.halt()
        for metrics in self.metrics:
            metrics.cut_off_since = self._env.clock.monotonic()
        try:
            if self._assignment.partitions:
                drained = await self._drain(self._env.config.revoke_drain_seconds)
                await self._committer.commit()
                how = "" if drained else ", with work in flight that will be delivered again"
                log.info("%s: gave back %s%s", self.segment.group, _listed(partitions), how)
        finally:
            self._assignment.close()
            self._intake.take_put_back()
            self._reset()
        # What comes back must not meet its own last attempt; a stuck one is not waited for.
        await self._lanes_quiet(self._env.config.stop_timeout_seconds)

    def _background(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "lanes", self._lanes.run(self.segment.group)
        yield "intake", self._intake.run()
        yield "outbox", self._outbox.run()
        yield "commits", self._committer.run()
        yield "lag", self._lag.run()
        yield "replay", self._watch_replay()
        if any(step.is_async for step in self._steps):
            yield "deadlines", self._sweep()

    async def _sweep(self) -> None:
        """Cancel attempts that take too long: one timer for all lanes."""
        shortest = min(step.timeout_seconds for step in self._steps if step.is_async)
        interval_seconds = max(0.01, min(1.0, shortest / 10))
        while True:
            await self._env.clock.sleep(interval_seconds)
            self._lanes.expire(self._env.clock.monotonic())

    async def _shut_down(self) -> None:
        self._state(StageState.DRAINING)
        self._intake.halt()
        if not await self._drain(self._env.config.shutdown_drain_seconds):
            log.warning(
                "stage %s of %s did not finish or could not write all its work in flight;"
                " it will be delivered again",
                self.segment.name,
                self.segment.pipeline,
            )
        await self._committer.commit()
        self._assignment.close()
        self._reset()

    async def _drain(self, deadline_seconds: float) -> bool:
        """Finish what runs and what it has overtaken; whether that was done in time."""
        deadline = self._env.clock.monotonic() + deadline_seconds
        overtaken = self._overtaken()
        self._lanes.drop_waiting(overtaken)
        self._retries.drop_waiting(overtaken)
        try:
            async with asyncio.timeout(deadline_seconds):
                while self._unfinished(deadline) and not self._replay.is_set():
                    self._changed.clear()
                    self._outbox.hurry()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return not self._replay.is_set()

    def _unfinished(self, deadline: float) -> bool:
        """Whether anything is under way that can end before then, in monotonic seconds."""
        lanes, outbox = self._lanes, self._outbox
        return lanes.busy or lanes.waiting or not outbox.empty or self._retries.due_by(deadline)

    def _overtaken(self) -> dict[Partition, int]:
        """Highest offset of each open partition that was started.

        Where keys go side by side, records before it may still wait for their turn. Without
        them the frontier would stay behind, and all after them would be delivered again.
        """
        highest = {
            partition: partition.frontier.highest_finished or -1
            for partition in self._assignment.partitions.values()
        }
        started = [(work.partition, work.record.offset) for work in self._lanes.started()]
        for partition, offset in (*started, *self._outbox.held()):
            if partition in highest:
                highest[partition] = max(highest[partition], offset)
        if self._error is not None:
            for partition in highest:
                if partition.name == self._error.partition:
                    highest[partition] = self._error.offset  # it resumes at exactly that record
        return highest

    async def _watch_replay(self) -> None:
        """Deliver again from the frontier whenever a batch failed or the producer was lost."""
        while True:
            await self._replay.wait()
            if self._failed_batches > 1:
                delay = REPLAY_BACKOFF.delay_seconds(self._failed_batches - 1, self._env.rng)
                await self._env.clock.sleep(delay)
            producer, usable = self._env.producer, False
            while not usable:  # while lanes become quiet, another segment can lose the next one
                await producer.replace(self._producer_generation)
                self._producer_generation = producer.generation
                await self._refresh_limits()
                await self._lanes_quiet()
                usable = producer.is_current(self._producer_generation)
            self._replay.clear()
            self._assignment.resume(self._intake.take_put_back())
            self._intake.room()

    async def _refresh_limits(self) -> None:
        """Read the topics' limits again: a batch may have failed because one was lowered."""
        try:
            async with asyncio.timeout(self._env.config.stop_timeout_seconds):
                topics = await self._env.admin.describe_topics({t.name for t in self._targets})
        except (BrokerError, TimeoutError) as error:
            log.warning("the limits of topics could not be read, the old ones stand: %r", error)
            return
        for target in self._targets:
            if target.name in topics:
                target.describe(topics[target.name])

    async def _lanes_quiet(self, seconds: float = math.inf) -> None:
        """Wait until abandoned attempts have ended, so that no key is worked on twice at once."""
        give_up_at = self._env.clock.monotonic() + seconds
        while self._lanes.busy and self._env.clock.monotonic() < give_up_at:
            self._lanes.abandon()
            self._changed.clear()
            try:
                async with asyncio.timeout(1.0):
                    await self._changed.wait()
            except TimeoutError:
                log.warning("stage %s: an agent does not end when cancelled", self.segment.name)

    def _reset(self) -> None:
        """Forget all work of closed partitions."""
        self._lanes.drop_waiting({})
        self._lanes.abandon()
        self._retries.drop_waiting({})
        self._outbox.discard()

    def _dry(self) -> None:
        self._outbox.hurry()
        self._changed.set()

    def _retry_later(self, work: Work, delay_seconds: float) -> None:
        self._lanes.hold(work)
        self._retries.add(work, delay_seconds)

    def _finished(self, flush: Flush) -> None:
        """All outputs of these records are acknowledged."""
        self._failed_batches = 0
        moved = False
        for partition, share in flush.shares.items():
            if partition.closed:
                continue
            moved |= partition.frontier.finish(share.offsets)
            partition.in_flight_records -= len(share.offsets)
            partition.in_flight_bytes -= share.value_bytes
        if moved:
            self._progress.frontier_moved()
        for target, count in flush.outputs.items():
            target.metrics.records_out[target.name] += count
        for metrics, reason in flush.dead_letters:
            metrics.dead_letters[reason] += 1
        self._changed.set()
        self._intake.room()

    def _output_failed(self, error: BaseException) -> None:
        log.warning(
            "stage %s of %s: a batch failed, its records are delivered again: %s",
            self.segment.name,
            self.segment.pipeline,
            error,
        )
        self._head.producer_replacements += 1
        self._failed_batches += 1
        self._suspend()

    def _suspend(self) -> None:
        """The producer is lost: nothing may use it from now on."""
        self._assignment.suspend()
        self._reset()
        self._replay.set()
        self._changed.set()

    def _stop_on(self, error: StageStoppedError) -> None:
        """Hold the record that said stop, and end."""
        if self._error is None:
            self._error = error
            self._intake.halt()
            self._lanes.drop_waiting(self._overtaken())  # now: lanes go on before the drain begins
            self._stopping.set()

    def _state(self, state: StageState) -> None:
        for metrics in self.metrics:
            metrics.state = state

    async def _close_consumer(self) -> None:
        try:
            async with asyncio.timeout(self._env.config.stop_timeout_seconds):
                await self._consumer.stop()
        except (BrokerError, TimeoutError) as error:
            log.warning("the consumer was abandoned without a clean end: %r", error)


def _listed(partitions: Iterable[TopicPartition]) -> str:
    """Partitions in a line: `playback.raw[0,1,2]`."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(partitions):
        by_topic.setdefault(topic, []).append(partition)
    listed = [f"{topic}[{','.join(map(str, own))}]" for topic, own in by_topic.items()]
    return " ".join(listed) or "no partitions"


def _lane_count(segment: Segment, steps: tuple[StepRunner, ...]) -> int:
    """Agents that never suspend keep one lane busy; more would only wait for it."""
    if not any(step.is_async for step in steps):
        return 1
    return segment.steps[0].stage.config.concurrency
