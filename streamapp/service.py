"""The service: runs pipelines on a broker, from the first check to the last commit."""

import asyncio
import logging
import random
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import Context
from dataclasses import replace
from typing import Any

from streamapp.brokers.current import broker_in_use
from streamapp.brokers.protocols import Admin, Broker, ProducerConfig, TopicDescription
from streamapp.brokers.shared.broker import SharedBroker
from streamapp.clock import Clock, SystemClock, clock_in_use
from streamapp.errors import (
    ConfigurationError,
    OffsetOutOfRangeError,
    StageError,
    StreamappError,
    TopicError,
    UnreadableRecordError,
)
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import Agent, Lifecycle, walk
from streamapp.pipeline.lifecycle import OpenAgents
from streamapp.pipeline.model_usages import model_usages
from streamapp.pipeline.outline import Outline, outline_of
from streamapp.pipeline.topology import Segment, Topology
from streamapp.randomness import random_in_use
from streamapp.renames.marks import Marks
from streamapp.renames.moves import find_moves, store_moves
from streamapp.renames.renames import Renames, find_renames, store_start_offsets
from streamapp.runtime.config import Environment, RuntimeConfig
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.segment import SegmentRunner
from streamapp.runtime.topic_watch import TopicWatch
from streamapp.runtime.unread_start import tell_unread_starts
from streamapp.runtime.until_end import run_until_end
from streamapp.topics.letter_limits import letter_risks
from streamapp.topics.retention import retention_risks

log = logging.getLogger(__name__)


BUNDLED_FETCH_SECONDS = 1.0
"""Longest wait of a fetch in a bundle: with hundreds of segments, what wakes each of them now and
then without need is most of what a worker costs at rest."""


class Service:
    """Runs the stages of pipelines in this process: one worker.

    Args:
        broker: has the topics.
        topologies: the checked pipelines.
        stages: names of the stages to run; all if empty.
        config: deadlines and intervals.
        clock: time.
        rng: jitter.
        start_anew: start stages without offsets at the beginning of their topics, even if Kafka has
            offsets of stages that are not declared.

    Raises:
        ConfigurationError: a named stage does not exist, or is fused to the previous stage.
    """

    def __init__(
        self,
        broker: Broker,
        topologies: Sequence[Topology],
        *,
        stages: Collection[str] = (),
        config: RuntimeConfig | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        start_anew: bool = False,
    ) -> None:
        self._broker = broker
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._config = config or RuntimeConfig()
        self._topologies = tuple(topologies)
        self._start_anew = start_anew
        self._pipelines = [_selected(topology, stages) for topology in topologies]
        _check_selection(topologies, stages)
        self._metrics = {
            id(segment): tuple(
                StageMetrics(
                    segment.pipeline,
                    step.stage.stage_id,
                    ", ".join(segment.source_names),
                    fused_to=segment.name if i else None,
                )
                for i, step in enumerate(segment.steps)
            )
            for segment in self._segments()
        }
        told: set[int] = set()
        for segment in self._segments():
            for step, metrics in zip(segment.steps, self._metrics[id(segment)], strict=True):
                metrics.models = model_usages(step.stage.agent, told)
        self._runners: list[SegmentRunner] = []
        self._stopping = self._is_bounded = False
        self._open_agents: OpenAgents | None = None
        self._errors: list[Exception] = []

    @property
    def metrics(self) -> Sequence[StageMetrics]:
        """Counters of every stage, in the order of the pipelines."""
        return [metrics for own in self._metrics.values() for metrics in own]

    @property
    def outlines(self) -> Sequence[Outline]:
        """What the pipelines are; stages that other workers run are among theirs."""
        return [outline_of(topology) for topology in self._topologies]

    def stop(self) -> None:
        """Drain and end; may be called at any time, and more than once."""
        self._stopping = True
        if self._open_agents is not None:
            self._open_agents.stop_opening()
        for runner in self._runners:
            runner.stop()

    async def run(self, *, until_end: bool = False) -> None:
        """Run until `stop` is called, or with `until_end` up to the current end of the topics.

        Raises:
            TopicError: a topic is missing; nothing was started.
            RenamedStageError: a stage may have been renamed; nothing was started.
            BrokerError: the broker cannot be reached.
            StageError: an agent could not be opened, or has ended by itself.
            StageStoppedError: a record failed in a stage with the policy `stop`; everything is
                drained and committed.
        """
        with (
            clock_in_use(self._clock),
            random_in_use(self._rng),
            broker_in_use(self._broker),
        ):
            await self._run(until_end=until_end)

    async def _run(self, *, until_end: bool) -> None:
        self._is_bounded = until_end
        agents = self._open_agents = OpenAgents(
            open_seconds=self._config.open_timeout_seconds,
            close_seconds=self._config.stop_timeout_seconds,
            on_lost=self._agent_lost,
        )
        if self._stopping:
            agents.stop_opening()
        async with AsyncExitStack() as stack:
            admin = self._broker.admin()
            await admin.start()
            stack.push_async_callback(admin.stop)
            topics = await self._describe_topics(admin)
            self._tell_risks(topics)
            await self._carry_positions(admin)
            for group, sources in self._sources_of_groups(topics).items():
                await tell_unread_starts(admin, group, sources)
            producer = SharedProducer(self._broker, ProducerConfig(), self._clock, self._rng)
            await producer.start()
            stack.push_async_callback(producer.stop)
            stack.push_async_callback(agents.close)
            await agents.open(self._agents())
            environment = Environment(
                broker=self._broker,
                admin=admin,
                producer=producer,
                clock=self._clock,
                rng=self._rng,
                config=self._config,
                execution_id=uuid.uuid4().hex,
                between=_topics_between(self._topologies),
            )
            names = dict.fromkeys(segment.bundle for segment in self._segments())
            bundles = {name: self._of_bundle(environment) for name in names if name is not None}
            pipelines = [
                [
                    self._runner(segment, topics, bundles.get(segment.bundle or "", environment))
                    for segment in segments
                ]
                for segments in self._pipelines
            ]
            await self._run_all(
                pipelines, admin, topics, variables=agents.context, until_end=until_end
            )
        if errors := [*agents.lost(), *self._errors]:
            raise errors[0]

    async def check(self, admin: Admin) -> None:
        """Check topics and stage names on the broker without starting anything.

        Raises:
            TopicError: a topic is missing.
            RenamedStageError: a stage may have been renamed.
        """
        await self._describe_topics(admin)
        (await find_moves(admin, self._segments())).raise_refusals()
        await self._find_renames(admin)

    def _tell_risks(self, topics: Mapping[str, TopicDescription]) -> None:
        """Log which topics may delete records unread, or have too little room for dead letters."""
        between = _topics_between(self._topologies)
        delays = {
            name: topic.delay_seconds
            for segment in self._segments()
            for name, topic in segment.retry_topics.items()
        }
        letters = {step.dead_letters for segment in self._segments() for step in segment.steps}
        for name in sorted(topics.keys() & (between | letters)):
            for risk in retention_risks(topics[name], delays.get(name, 0.0)):
                log.warning("%s", risk)
        for name, sources in sorted(_sources_of_letters(self._segments(), topics).items()):
            originals = [topics[source] for source in sources]
            for risk in letter_risks(topics[name], originals, are_retries=name in delays):
                log.warning("%s", risk)

    async def _carry_positions(self, admin: Admin) -> None:
        """Store where stages start that were renamed, or moved into a bundle or out of one."""
        moves = await find_moves(admin, self._segments())
        moves.raise_refusals()
        renames = await self._find_renames(admin)
        await store_moves(admin, moves)
        for one in renames:
            await store_start_offsets(admin, one)

    async def _find_renames(self, admin: Admin) -> Sequence[Renames]:
        found = [
            await find_renames(admin, topology, segments)
            for topology, segments in zip(self._topologies, self._pipelines, strict=True)
        ]
        for renames in found:
            renames.raise_refusals(yes=self._start_anew)
        return found

    async def _run_all(
        self,
        pipelines: Sequence[Sequence[SegmentRunner]],
        admin: Admin,
        topics: Mapping[str, TopicDescription],
        *,
        variables: Context,
        until_end: bool,
    ) -> None:
        partitions = {name: topic.partitions for name, topic in topics.items()}
        self._runners = [runner for runners in pipelines for runner in runners]
        if self._stopping:
            return
        interval_seconds = self._config.topic_check_interval_seconds
        topic_watch = TopicWatch(
            admin,
            self._runners,
            self._clock,
            interval_seconds=interval_seconds,
            listing_seconds=self._config.topic_list_interval_seconds,
        )
        if until_end:
            for runner in self._runners:
                runner.topics.stop_following()
        async with asyncio.TaskGroup() as group:
            watches = [
                group.create_task(self._end_at_the_end(admin, runners, partitions))
                for runners in pipelines
                if until_end
            ]
            watches.append(group.create_task(topic_watch.run()))
            marks = Marks(admin, self._segments(), self._clock)
            watches.append(group.create_task(marks.run()))
            running = [
                group.create_task(self._run_one(runner), context=variables.copy())
                for runner in self._runners
            ]
            await asyncio.wait(running)
            for watch in watches:
                watch.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.stop_timeout_seconds):
                await marks.store_missing()

    async def _end_at_the_end(
        self, admin: Admin, runners: Sequence[SegmentRunner], partitions: Mapping[str, int]
    ) -> None:
        """End the segments of a pipeline at the end of its topics, or drain all if that fails."""
        try:
            await run_until_end(admin, runners, partitions, self._clock)
        except StreamappError as error:
            self._errors.append(error)
            self.stop()

    async def _run_one(self, runner: SegmentRunner) -> None:
        """Run one segment; if it fails, drain and stop all others, but not those of a bundle."""
        try:
            await runner.run()
        except StreamappError as error:
            self._errors.append(error)
            if runner.segment.bundle is None or not isinstance(error, _CONTAINED):
                self.stop()
            elif not self._stopping:
                self._contain(runner, str(error))

    def _contain(self, runner: SegmentRunner, why: str) -> None:
        """Let the other stages of its bundle go on without one that has failed.

        In bounded work those of its own pipeline end, which would wait for its end.
        """
        for other in self._runners if self._is_bounded else ():
            if other.segment.pipeline == runner.segment.pipeline:
                other.stop()
        for metrics in runner.metrics:
            metrics.is_contained = True
        log.error(
            "stage %s of %s has ended, and the others of the bundle %s go on; to start it again,"
            " start the worker again: %s",
            runner.segment.name,
            runner.segment.pipeline,
            runner.segment.bundle,
            why,
        )

    async def _describe_topics(self, admin: Admin) -> Mapping[str, TopicDescription]:
        names: dict[str, None] = {}
        matching: set[str] = set()
        existing: Collection[str] = ()
        if any(segment.patterns for segment in self._segments()):
            existing = await admin.list_topics()
        for segment in self._segments():
            names.update(dict.fromkeys(segment.read_topics))
            names.update(dict.fromkeys(segment.written_topics()))
            matching.update(segment.topics_among(existing))
        found = await admin.describe_topics([*names, *(matching - names.keys())])
        if missing := [name for name in names if name not in found]:
            raise TopicError(
                f"missing topics: {', '.join(missing)}; create them with"
                " `streamapp topics apply MODULE:PIPELINE`"
            )
        return found

    def _of_bundle(self, environment: Environment) -> Environment:
        """What the segments of a bundle share beside: one consumer, which is polled for all."""
        seconds = max(self._config.fetch_seconds, BUNDLED_FETCH_SECONDS)
        return replace(
            environment,
            broker=SharedBroker(self._broker, self._clock),
            config=replace(self._config, fetch_seconds=seconds),
        )

    def _sources_of_groups(
        self, existing: Mapping[str, TopicDescription]
    ) -> Mapping[str, dict[str, int]]:
        """Number of partitions of each source, by the group that reads it."""
        found: dict[str, dict[str, int]] = {}
        for segment in self._segments():
            own = {name: existing[name].partitions for name in segment.sources_among(existing)}
            found.setdefault(segment.group, {}).update(own)
        return found

    def _runner(
        self,
        segment: Segment,
        topics: Mapping[str, TopicDescription],
        environment: Environment,
    ) -> SegmentRunner:
        if segment.reader is not None:
            broker = segment.reader.broker(environment.broker)
            environment = replace(environment, broker=broker)
        return SegmentRunner(segment, topics, self._metrics[id(segment)], environment)

    def _segments(self) -> Iterable[Segment]:
        for segments in self._pipelines:
            yield from segments

    def _agents(self) -> Iterable[tuple[str, Agent[Any, Any]]]:
        for segment in self._segments():
            for step in segment.steps:
                for agent in walk(step.stage.agent):
                    yield step.stage.stage_id, agent

    def _agent_lost(self, lifecycle: Lifecycle) -> None:
        """End, because an agent has; its stages count no failure against their records now."""
        are_contained = bool(self._runners)  # else they are not to start
        for runner in self._runners:
            agents = (one for step in runner.segment.steps for one in walk(step.stage.agent))
            if any(agent.lifecycle is lifecycle for agent in agents):
                runner.agent_lost()
                if runner.segment.bundle is None:
                    are_contained = False
                else:
                    self._contain(runner, "its agent has ended by itself")
        if not are_contained:
            self.stop()


_CONTAINED = (StageError, OffsetOutOfRangeError, UnreadableRecordError, ConfigurationError)
"""Errors that end one stage of a bundle, and not the others: they say what is wrong with it."""


def _selected(topology: Topology, stages: Collection[str]) -> list[Segment]:
    return [segment for segment in topology.segments if not stages or segment.name in stages]


def _sources_of_letters(
    segments: Iterable[Segment], existing: Collection[str]
) -> Mapping[str, set[str]]:
    """Each dead-letter topic with the topics that its records come from."""
    found: dict[str, set[str]] = {}
    for segment in segments:
        for step in segment.steps:
            for name in (step.dead_letters, *(topic.name for topic in step.retry_topics)):
                found.setdefault(name, set()).update(segment.sources_among(existing))
    return found


def _topics_between(topologies: Iterable[Topology]) -> frozenset[str]:
    """Topics that one stage writes and another reads, whether this worker runs them or not."""
    segments = [segment for topology in topologies for segment in topology.segments]
    written = {name for segment in segments for name in segment.written_topics()}
    return frozenset(
        name
        for name in written
        if any(name in segment.read_topics or segment.has_source(name) for segment in segments)
    )


def _check_selection(topologies: Sequence[Topology], stages: Collection[str]) -> None:
    heads = [segment.name for topology in topologies for segment in topology.segments]
    fused = {
        step.stage.stage_id: segment.name
        for topology in topologies
        for segment in topology.segments
        for step in segment.steps[1:]
    }
    for stage in stages:
        if stage in fused:
            raise ConfigurationError(
                f"stage {stage!r} is fused to {fused[stage]!r} and runs with it;"
                f" name {fused[stage]!r}"
            )
        if stage not in heads:
            raise ConfigurationError(f"there is no stage {stage!r}; there are: {', '.join(heads)}")
