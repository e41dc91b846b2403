"""A segment over changes of its agents: one runner after the other, never two at once."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import Context

from streamapp.errors import DrainTimeoutError
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import Lifecycle, walk
from streamapp.pipeline.topology import Segment
from streamapp.record import TopicPartition
from streamapp.runtime.config import Environment
from streamapp.runtime.segment import SegmentRunner
from streamapp.runtime.segment_topics import SegmentTopics

log = logging.getLogger(__name__)


class RunningSegment:
    """Runs a segment; `replace` lets it go on with other agents.

    A runner is drained as for a stop: what is in flight is finished and committed, or read again.
    The next one joins the same group, so it begins where that one ended.

    Args:
        runner: the first runner.
        variables: gives each runner the variables (`contextvars`) that it runs with.
    """

    def __init__(self, runner: SegmentRunner, variables: Callable[[], Context]) -> None:
        self._runner = runner
        self._variables = variables
        self._next: Callable[[], SegmentRunner] | None = None
        self._changed = asyncio.Event()
        self._until: Mapping[TopicPartition, int] | None = None
        self._follows = True
        self._follows_another = False
        self._ends = False
        self._stuck: list[tuple[SegmentRunner, DrainTimeoutError]] = []

    @property
    def segment(self) -> Segment:
        """The segment, with the agents that it has now."""
        return self._runner.segment

    @property
    def environment(self) -> Environment:
        """What it shares: those of a bundle share a consumer, which whoever follows has to use."""
        return self._runner.environment

    @property
    def metrics(self) -> tuple[StageMetrics, ...]:
        """Counters of each of its stages."""
        return self._runner.metrics

    @property
    def topics(self) -> SegmentTopics:
        """Its topics as they are now."""
        return self._runner.topics

    @property
    def ends(self) -> bool:
        """Whether it drains for good, or has ended."""
        return self._ends

    def has(self, lifecycle: Lifecycle) -> bool:
        """Whether an agent of its stages, or a part of one, is this object."""
        agents = (one for step in self.segment.steps for one in walk(step.stage.agent))
        return any(agent.lifecycle is lifecycle for agent in agents)

    def stop(self) -> None:
        """Drain and end; may be called more than once."""
        self._ends = True
        self._runner.stop()

    def agent_lost(self) -> None:
        """Drain and end, because one of its agents has ended by itself."""
        self._ends = True
        self._runner.agent_lost()

    def end_at(self, until: Mapping[TopicPartition, int]) -> None:
        """Work on no record at or past these offsets."""
        self._until = until
        self._runner.end_at(until)

    def stop_following(self) -> None:
        """Read no topics that come to match its patterns from now on."""
        self._follows = False
        self._runner.topics.stop_following()

    async def replace(self, make: Callable[[], SegmentRunner]) -> bool:
        """Drain, and go on with the runner that is made then.

        Args:
            make: makes it, once the runner before it has ended.

        Returns:
            Whether it goes on; not if the segment ends instead, and then nothing is made.
        """
        if self._ends:
            return False
        self._next, self._changed = make, asyncio.Event()
        self._runner.stop()
        await self._changed.wait()
        return self._next is None

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            Exception: what a runner raised.
            DrainTimeoutError: an attempt of an agent that was replaced did not end when it was
                cancelled.
        """
        try:
            while await self._run_one():
                pass
        finally:
            self._ends = True
            self._changed.set()
        for runner, error in self._stuck:
            if runner.has_left_attempts:
                raise error

    async def _run_one(self) -> bool:
        """Run until the runner ends; whether another one follows."""
        # An outage that began while the runner before it drained must not end the worker.
        running = self._runner.run(keeps_trying=self._follows_another)
        task = asyncio.create_task(running, context=self._variables())
        try:
            await task
        except DrainTimeoutError as error:
            if self._next is None or self._ends:
                raise
            # Its record is read again, as after a rebalance, and what it gives is discarded.
            log.warning("%s", error)
            self._stuck.append((self._runner, error))
        if self._next is None or self._ends:
            return False
        self._runner = self._next()
        self._follows_another = True
        self._next = None
        if self._until is not None:
            self._runner.end_at(self._until)
        if not self._follows:
            self._runner.topics.stop_following()
        self._changed.set()
        return True
