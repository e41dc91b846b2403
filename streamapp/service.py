"""The service: runs pipelines on a broker, from the first check to the last commit."""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from streamapp.brokers.current import broker_in_use
from streamapp.brokers.protocols import Admin, ProducerConfig, ReadingBroker, TopicDescription
from streamapp.clock import Clock, SystemClock, clock_in_use
from streamapp.dead_letter_tools.letter_watch import LetterWatch
from streamapp.errors import StageError, StreamappError
from streamapp.observability.exception_text import sentence_of
from streamapp.observability.loop_blocks import LoopBlocks
from streamapp.observability.loop_watch import LoopWatch
from streamapp.observability.recent import RecentWatch
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.observability.verdict import notice_findings
from streamapp.pipeline.agent import Agent, Lifecycle, walk
from streamapp.pipeline.bundle import in_bundle
from streamapp.pipeline.code_owners import code_owners
from streamapp.pipeline.lifecycle import OpenAgents
from streamapp.pipeline.middleware import AroundMiddleware
from streamapp.pipeline.outline import Outline, outline_of
from streamapp.pipeline.selection import check_selection, selected, topics_between
from streamapp.pipeline.topology import Segment, Topology, build, with_middleware
from streamapp.randomness import random_in_use
from streamapp.reassembly.chain import RunningChain
from streamapp.reassembly.config import Reassembly
from streamapp.reassembly.reassembler import Reassembler
from streamapp.reassembly.score_keeper import ScoreKeeper
from streamapp.registry.assemble import Assembled
from streamapp.registry.current_chain import CurrentChain
from streamapp.registry.scores import Scores
from streamapp.renames.marks import Marks
from streamapp.renames.positions import Positions
from streamapp.runtime.bundled import bundled
from streamapp.runtime.config import Environment, RuntimeConfig
from streamapp.runtime.described_topics import described_topics
from streamapp.runtime.group_watch import GroupWatch
from streamapp.runtime.pipeline_failures import PipelineFailures, is_contained
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.running_segment import RunningSegment
from streamapp.runtime.segment import SegmentRunner
from streamapp.runtime.stage_counters import stage_counters
from streamapp.runtime.topic_risks import tell_risks
from streamapp.runtime.topic_watch import TopicWatch
from streamapp.runtime.unread_start import sources_of_groups, tell_unread_starts
from streamapp.runtime.until_end import run_until_end

log = logging.getLogger(__name__)


class Service:
    """Runs the stages of pipelines in this process: one worker.

    Args:
        broker: has the topics.
        topologies: the checked pipelines, and assembled ones, whose agents are replaced when they
            are gone or down.
        stages: names of the stages to run; all if empty.
        config: deadlines and intervals.
        clock: time.
        rng: jitter.
        start_anew: start stages without offsets at the beginning of their topics, even if Kafka has
            offsets of stages that are not declared.
        reassembly: how agents of assembled pipelines are measured and replaced.
        bundle: name of the bundle as which all of them are read; what `build_bundle` has made is
            in one already.
        middleware: runs around all middleware that the pipelines have, such as what makes traces.

    Raises:
        PipelineError: they cannot be in one bundle.
        ConfigurationError: a named stage does not exist, or is fused to the previous stage.
    """

    def __init__(
        self,
        broker: ReadingBroker,
        topologies: Sequence[Topology | Assembled],
        *,
        stages: Collection[str] = (),
        config: RuntimeConfig | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        start_anew: bool = False,
        reassembly: Reassembly | None = None,
        bundle: str | None = None,
        middleware: Sequence[AroundMiddleware] = (),
    ) -> None:
        self._broker = broker
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._config = config or RuntimeConfig()
        self._reassembly = reassembly or Reassembly()
        assembled = [one for one in topologies if isinstance(one, Assembled)]
        self._scores = assembled[0].scores if assembled else Scores()  # one for all of them
        self._chains = [
            RunningChain(one, self._scores, self._reassembly, self._clock) for one in assembled
        ]
        built = [build(one.pipeline) if isinstance(one, Assembled) else one for one in topologies]
        if middleware:
            built = [with_middleware(one, middleware) for one in built]
        self._topologies = tuple(built) if bundle is None else in_bundle(bundle, built)
        self._pipelines = [selected(topology, stages) for topology in self._topologies]
        check_selection(self._topologies, stages)
        self._positions = Positions(self._topologies, self._pipelines, start_anew=start_anew)
        self._loop_blocks = LoopBlocks()
        self._metrics = stage_counters(
            self._topologies,
            list(self._segments()),
            self._loop_blocks,
            stall_after_seconds=self._config.stall_after_seconds,
        )
        self._running: list[RunningSegment] = []
        self._stopping = self._is_bounded = False
        self._open_agents: OpenAgents | None = None
        self._failures = PipelineFailures()

    @property
    def metrics(self) -> Sequence[StageMetrics]:
        """Counters of every stage, in the order of the pipelines."""
        return [metrics for own in self._metrics.values() for metrics in own]

    @property
    def topologies(self) -> Sequence[Topology]:
        """The checked pipelines, with the agents that they had at first."""
        return self._topologies

    @property
    def outlines(self) -> Sequence[Outline]:
        """What the pipelines are; stages that other workers run are among theirs."""
        return [outline_of(topology) for topology in self._topologies]

    @property
    def chains(self) -> Sequence[CurrentChain]:
        """The agents of the assembled pipelines now, with their scores, and who was replaced."""
        return [chain.current() for chain in self._chains]

    @property
    def failed(self) -> Mapping[str, str]:
        """Class of the error of each pipeline that has failed; in a bundle the others go on."""
        return self._failures.failed

    def stop(self) -> None:
        """Drain and end; may be called at any time, and more than once."""
        self._stopping = True
        if self._open_agents is not None:
            self._open_agents.stop_opening()
        for running in self._running:
            running.stop()

    async def run(
        self, *, until_end: bool = False, on_open: Callable[[], None] | None = None
    ) -> None:
        """Run until `stop` is called, or with `until_end` up to the current end of the topics.

        Args:
            until_end: end at the current end of the topics.
            on_open: called once all agents are open, before the first record is read.

        Raises:
            TopicError: a topic is missing; nothing was started.
            RenamedStageError: a stage may have been renamed; nothing was started.
            BrokerError: the broker cannot be reached.
            AgentSetupError: an agent cannot open as it is configured; no record was read.
            StageError: an agent could not be opened, or has ended by itself.
            StageStoppedError: a record failed in a stage with the policy `stop`; everything is
                drained and committed.
        """
        with (
            clock_in_use(self._clock),
            random_in_use(self._rng),
            broker_in_use(self._broker),
        ):
            async with AsyncExitStack() as stack:
                if isinstance(self._clock, SystemClock):  # else its time is not that of a thread
                    watch = LoopWatch(self._loop_blocks, code_owners(self._segments()))
                    await stack.enter_async_context(watch.watching())
                await self._run(on_open, until_end=until_end)

    async def _run(self, on_open: Callable[[], None] | None, *, until_end: bool) -> None:
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
            topics = await described_topics(admin, list(self._segments()))
            tell_risks(list(self._segments()), topics_between(self._topologies), topics)
            await self._positions.carry(admin)
            for group, sources in sources_of_groups(self._segments(), topics).items():
                await tell_unread_starts(admin, group, sources)
            producer = SharedProducer(self._broker, ProducerConfig(), self._clock, self._rng)
            await producer.start()
            stack.push_async_callback(producer.stop)
            stack.push_async_callback(agents.close)
            await agents.open(self._agents())
            if on_open is not None and not self._stopping:
                on_open()
            environment = Environment(
                broker=self._broker,
                admin=admin,
                producer=producer,
                clock=self._clock,
                rng=self._rng,
                config=self._config,
                execution_id=uuid.uuid4().hex,
                between=topics_between(self._topologies),
            )
            names = dict.fromkeys(segment.bundle for segment in self._segments())
            bundles = {name: bundled(environment) for name in names if name is not None}
            pipelines = [
                [
                    RunningSegment(
                        self._runner(
                            segment, topics, bundles.get(segment.bundle or "", environment)
                        ),
                        agents.context.copy,
                    )
                    for segment in segments
                ]
                for segments in self._pipelines
            ]
            await self._run_all(pipelines, environment, topics, until_end=until_end)
        if errors := [*agents.lost(), *self._failures.errors]:
            raise errors[0]

    async def check(self, admin: Admin) -> None:
        """Check topics and stage names on the broker without starting anything.

        Raises:
            TopicError: a topic is missing.
            RenamedStageError: a stage may have been renamed.
        """
        await described_topics(admin, list(self._segments()))
        await self._positions.check(admin)

    async def _run_all(
        self,
        pipelines: Sequence[Sequence[RunningSegment]],
        environment: Environment,
        topics: Mapping[str, TopicDescription],
        *,
        until_end: bool,
    ) -> None:
        admin = environment.admin
        partitions = {name: topic.partitions for name, topic in topics.items()}
        self._running = [running for segments in pipelines for running in segments]
        if self._stopping:
            return
        interval_seconds = self._config.topic_check_interval_seconds
        topic_watch = TopicWatch(
            admin,
            self._running,
            self._clock,
            interval_seconds=interval_seconds,
            listing_seconds=self._config.topic_list_interval_seconds,
        )
        if until_end:
            for running in self._running:
                running.stop_following()
        async with asyncio.TaskGroup() as group:
            watches = [
                group.create_task(self._end_at_the_end(admin, segments, partitions))
                for segments in pipelines
                if until_end
            ]
            watches.append(group.create_task(topic_watch.run()))
            group_watch = GroupWatch(
                admin,
                self._running,
                self._clock,
                interval_seconds=self._config.group_check_interval_seconds,
            )
            watches.append(group.create_task(group_watch.run()))
            recent = RecentWatch(self.metrics, self._clock, notice_findings)
            watches.append(group.create_task(recent.run()))
            if (seconds := self._config.letter_count_interval_seconds) is not None:
                letter_watch = LetterWatch(
                    self._broker, admin, self._running, self._clock, interval_seconds=seconds
                )
                watches.append(group.create_task(letter_watch.run()))
            marks = Marks(admin, self._segments(), self._clock)
            watches.append(group.create_task(marks.run()))
            if self._chains:
                watches.append(group.create_task(self._reassemble(environment)))
            tasks = [group.create_task(self._run_one(running)) for running in self._running]
            await asyncio.wait(tasks)
            for watch in watches:
                watch.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.stop_timeout_seconds):
                await marks.store_missing()

    async def _end_at_the_end(
        self, admin: Admin, segments: Sequence[RunningSegment], partitions: Mapping[str, int]
    ) -> None:
        """End the segments of a pipeline at the end of its topics, or drain all if that fails."""
        try:
            await run_until_end(admin, segments, partitions, self._clock)
        except StreamappError as error:
            self._failures.add(error, self._segments())
            self.stop()

    async def _reassemble(self, environment: Environment) -> None:
        """Measure the agents of assembled pipelines, and replace some, until cancelled."""
        assert self._open_agents is not None  # noqa: S101 - they were opened before
        config = self._reassembly
        keeper = ScoreKeeper(self._scores, config.score_file, self._clock, config.save_seconds)
        reassembler = Reassembler(
            self._chains,
            self._running,
            config,
            keeper,
            agents=self._open_agents,
            environment=environment,
        )
        try:
            await reassembler.run()
        finally:
            await keeper.end()

    async def _run_one(self, running: RunningSegment) -> None:
        """Run one segment; if it fails, drain and stop all others, but not those of a bundle."""
        try:
            await running.run()
        except StreamappError as error:
            if not is_contained(running.segment, error):
                self._failures.add(error, self._segments())
                self.stop()
                return
            self._failures.add(error, [running.segment])
            if not self._stopping:
                self._contain(running, sentence_of(error))

    def _contain(self, running: RunningSegment, why: str) -> None:
        """Let the other stages of its bundle go on without one that has failed.

        In bounded work those of its own pipeline end, which would wait for its end.
        """
        for other in self._running if self._is_bounded else ():
            if other.segment.pipeline == running.segment.pipeline:
                other.stop()
        for metrics in running.metrics:
            metrics.is_contained = True
        log.error(
            "stage %s of %s has ended, and the others of the bundle %s go on; to start it again,"
            " start the worker again: %s",
            running.segment.name,
            running.segment.pipeline,
            running.segment.bundle,
            why,
        )

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
        having = [one for one in self._running if one.has(lifecycle)]
        ends_all = not having or any(running.segment.bundle is None for running in having)
        ended = self._segments() if ends_all else [running.segment for running in having]
        self._failures.note(StageError, ended)
        for running in having:
            running.agent_lost()
            if running.segment.bundle is not None:
                self._contain(running, "its agent has ended by itself")
        if ends_all:
            self.stop()
