"""Replaces agents of assembled pipelines that are gone or down, at regular intervals."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from streamapp.brokers.protocols import TopicDescription
from streamapp.errors import BrokerError, StreamappError, TopicError
from streamapp.observability.occurrences import OccurrenceKind
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import walk
from streamapp.pipeline.lifecycle import OpenAgents
from streamapp.pipeline.model_usages import model_usages
from streamapp.pipeline.replaced_agent import with_agent
from streamapp.pipeline.topology import Segment
from streamapp.reassembly.chain import Leaving, RunningChain
from streamapp.reassembly.config import Reassembly
from streamapp.reassembly.score_feed import Watched
from streamapp.reassembly.score_keeper import ScoreKeeper
from streamapp.registry.reassembly import Decision
from streamapp.runtime.config import Environment
from streamapp.runtime.described_topics import described_topics
from streamapp.runtime.running_segment import RunningSegment
from streamapp.runtime.segment import SegmentRunner

log = logging.getLogger(__name__)

Topics = Mapping[str, TopicDescription]


class Reassembler:
    """Looks at the agents of assembled pipelines, and replaces those that are to go.

    Args:
        chains: the pipelines.
        segments: the segments of this worker.
        config: when it looks, and what is to go.
        keeper: measures the agents.
        agents: the agents that are open.
        environment: what all segments of the worker share.
    """

    def __init__(
        self,
        chains: Sequence[RunningChain],
        segments: Sequence[RunningSegment],
        config: Reassembly,
        keeper: ScoreKeeper,
        *,
        agents: OpenAgents,
        environment: Environment,
    ) -> None:
        self._chains = chains
        self._segments = segments
        self._config = config
        self._keeper = keeper
        self._agents = agents
        self._clock = environment.clock
        self._admin = environment.admin
        for chain in chains:
            for segment in self._of(chain):
                self._watch(chain, segment.segment, segment.metrics)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._config.check_seconds)
            await self._keeper.look()
            if self._config.refresh is not None:
                await self._config.refresh()
            for chain in self._chains:
                await self._look(chain)

    async def _look(self, chain: RunningChain) -> None:
        # A stage with a reader of its own has no other agent.
        segments = [one for one in self._of(chain) if one.segment.reader is None]
        stages = {own.stage: (one, own) for one in segments for own in one.metrics}
        metrics = {stage: own for stage, (_, own) in stages.items()}
        for leaving in list(chain.leaving(metrics, self._clock.monotonic())):
            segment, own = stages[chain.stage(leaving.number)]
            while not segment.ends and await self._replace(chain, leaving, segment, own):
                pass

    async def _replace(
        self,
        chain: RunningChain,
        leaving: Leaving,
        segment: RunningSegment,
        metrics: StageMetrics,
    ) -> bool:
        """Let the best take a place; whether the next best is to be tried instead."""
        decision = chain.decide(leaving)
        by = decision.by
        if by is None and not chain.can_do_without(leaving):
            if (told := chain.stays(leaving, decision)) is not None:
                log.warning("pipeline %r: %s", chain.name, told)
            return False
        goes = leaving.agent_id
        try:
            topics = await described_topics(self._admin, [segment.segment])
        except (BrokerError, TopicError) as error:
            log.warning("pipeline %r: agent %r is not replaced yet: %s", chain.name, goes, error)
            return False
        try:
            # In a thread, since a module may have to be imported.
            new = await asyncio.to_thread(chain.make, leaving, by)
            changed = with_agent(segment.segment, metrics.stage, new)
            await self._agents.open((metrics.stage, one) for one in walk(new))
        except StreamappError as error:
            told = "pipeline %r: agent %r cannot take the place of %r: %s"
            log.warning(told, chain.name, by, goes, error)
            chain.refuse(leaving, by, error)
        else:
            await segment.replace(
                lambda: self._next(chain, leaving, decision, segment, changed, topics)
            )
            by = None
        await self._close_idle()
        return by is not None

    def _next(
        self,
        chain: RunningChain,
        leaving: Leaving,
        decision: Decision,
        segment: RunningSegment,
        changed: Segment,
        topics: Topics,
    ) -> SegmentRunner:
        """What runs a segment from now on; the runner before it has ended."""
        self._keeper.feed.look(self._clock.monotonic())
        for metrics in segment.metrics:
            metrics.begin_anew()
        runner = SegmentRunner(changed, topics, segment.metrics, segment.environment)
        told = chain.took_place(leaving, decision)
        now = self._clock.monotonic()
        for metrics, step in zip(segment.metrics, changed.steps, strict=True):
            if metrics.stage == chain.stage(leaving.number):
                metrics.models = model_usages(step.stage.agent, set())
                metrics.replacements[leaving.cause] += 1
                metrics.occurrences.add(now, OccurrenceKind.REPLACED, told)
        log.warning("pipeline %r: %s", chain.name, told)
        self._watch(chain, changed, segment.metrics)
        return runner

    def _watch(
        self, chain: RunningChain, segment: Segment, stages: tuple[StageMetrics, ...]
    ) -> None:
        """Measure the agents that a segment has now."""
        places, capacity = chain.places, segment.attempts_at_once
        for metrics in stages:
            members = places[metrics.stage].members
            self._keeper.feed.watch(Watched(metrics, members, stages[0], capacity))

    def _of(self, chain: RunningChain) -> list[RunningSegment]:
        return [one for one in self._segments if one.segment.pipeline == chain.name]

    async def _close_idle(self) -> None:
        """Close the agents that no segment has any more."""
        await self._agents.close_all_but(
            agent
            for running in self._segments
            for step in running.segment.steps
            for agent in walk(step.stage.agent)
        )
