"""Executes a pipeline in this process, as often as its caller likes, with its agents open."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sized
from contextlib import AsyncExitStack, ExitStack
from contextvars import copy_context
from copy import deepcopy
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streamapp.clock import Clock, clock_in_use, current_clock
from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.agent import walk
from streamapp.pipeline.agent_call import EncodedValue, checked_headers, key_bytes
from streamapp.pipeline.context import Context
from streamapp.pipeline.contexts import Contexts
from streamapp.pipeline.execution.execution import Execution
from streamapp.pipeline.execution.results import ExecutionResult
from streamapp.pipeline.execution.step import ExecutionStep, Item, steps_of
from streamapp.pipeline.fits import type_name
from streamapp.pipeline.lifecycle import OpenAgents
from streamapp.pipeline.source import Source
from streamapp.pipeline.sources import source_index
from streamapp.pipeline.topology import Topology, build
from streamapp.pipeline.trail import with_header
from streamapp.randomness import current_random, random_in_use
from streamapp.record import Headers
from streamapp.topics.topic import Topic

if TYPE_CHECKING:
    from streamapp.pipeline.pipeline import Pipeline

InT = TypeVar("InT")
OutT = TypeVar("OutT")

OPEN_SECONDS = 30.0
"""Longest wait for an agent to open its clients."""

CLOSE_SECONDS = 5.0
"""Longest wait for an agent to close its clients."""

MAX_WAYS = 100
"""Topics for which a plan keeps the stages ready."""

Progress = Callable[[int, int | None], None]
"""Called with the number of results so far, and of all items, if that is known."""


class Plan:
    """A pipeline that was checked, with its stages ready to be called.

    Attributes:
        clock: the time.
        topology: the checked pipeline.
        sources: topics that would hold the data.
        steps: the stages, for data of the first source.
        agents: every agent with the name of its stage.
        opens_agents: whether any has to be opened.

    Args:
        pipeline: the pipeline.
        clock: the time.

    Raises:
        PipelineError: the pipeline is wrong, or has no stage.
    """

    def __init__(self, pipeline: "Pipeline[Any, Any]", clock: Clock) -> None:
        self.clock = clock
        self.topology: Topology = build(pipeline, needs_sink=False)
        for segment in self.topology.segments:
            if segment.reader is not None:
                raise PipelineError(
                    f"pipeline {pipeline.name!r}: the {segment.reader.in_words} reads the topics of"
                    f" stage {segment.name!r} itself, so it cannot be executed in process; run it"
                    " on Kafka"
                )
        self.sources = pipeline.sources
        first = self.topology.segments[0]
        topics, patterns = iter(first.sources), iter(first.patterns)
        self._codecs = [
            next(topics).codec if isinstance(one, Topic) else next(patterns).codec
            for one in self.sources
        ]
        self._ways: dict[tuple[int, str], list[ExecutionStep]] = {}
        self.steps = self.way(0, None)
        stages = [step.stage for segment in self.topology.segments for step in segment.steps]
        self.agents = [(stage.stage_id, one) for stage in stages for one in walk(stage.agent)]
        self.opens_agents = any(agent.lifecycle is not None for _, agent in self.agents)

    def way(self, index: int, topic: str | None) -> list[ExecutionStep]:
        """The stages, for data of a source.

        Args:
            index: place of the source among the declared ones.
            topic: name of the topic; `None` is that of the source, or its pattern.
        """
        declared = self.sources[index]
        topic = topic or declared.name
        if len(self._ways) > MAX_WAYS:  # a pattern stands for any number of topics
            self._ways.clear()
        found = self._ways.get((index, topic))
        if found is None:
            source = Source(topic, self._codecs[index])
            found = steps_of(self.topology.segments, declared.codec, source, self.clock)
            self._ways[index, topic] = found
        return found


class Executor(Generic[InT, OutT]):
    """Executes a pipeline in this process; its agents are open within an `async with` block.

    ```python
    async with pipeline.executor() as executor:
        result = await executor.execute(event)
    ```

    Args:
        plan: the pipeline.
        rng: draws the waits between attempts; by default what the caller's run has in use.
        open_seconds, close_seconds: longest wait for one agent to open, and to close.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        rng: random.Random | None = None,
        open_seconds: float = OPEN_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._plan = plan
        self._rng = rng or current_random()
        self._seconds = open_seconds, close_seconds
        self._is_open = False
        self._agents: OpenAgents | None = None

    async def __aenter__(self) -> "Executor[InT, OutT]":
        """Open the agents.

        Raises:
            StageError: an agent failed to open, or took too long.
        """
        if self._plan.opens_agents:
            opening, closing = self._seconds
            self._agents = OpenAgents(
                open_seconds=opening, close_seconds=closing, on_lost=lambda _: None
            )
            async with AsyncExitStack() as stack:
                stack.push_async_callback(self._agents.close)
                await self._agents.open(self._plan.agents)
                stack.pop_all()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the agents.

        Raises:
            StageError: an agent has ended by itself meanwhile.
        """
        self._is_open = False
        agents, self._agents = self._agents, None
        if agents is None:
            return
        await agents.close()
        if error is None and (lost := agents.lost()):
            raise lost[0]

    async def execute(
        self,
        data: InT | bytes | None,
        context: Context | None = None,
        *,
        key: bytes | str | None = None,
        headers: Headers = (),
        timestamp: datetime | None = None,
        source: str | None = None,
    ) -> ExecutionResult[OutT]:
        """Run data through all stages; see `Pipeline.execute`."""
        if not self._is_open:
            raise PipelineError(
                f"the executor of pipeline {self._plan.topology.pipeline!r} is not open; use it in"
                " an `async with` block"
            )
        if context is not None and not isinstance(context, Context):
            raise PipelineError(
                f"execute() was given a context of type {type(context).__name__}; give"
                " PipelineContext(metadata={…})"
            )
        plan, context = self._plan, Context() if context is None else context
        if context.trail is not None:
            headers = with_header(headers, context.trail.to_header())
        contexts, name = Contexts(), plan.topology.pipeline
        try:
            steps, packed = self._first(data, source)
            first = Item(0, packed, key_bytes(key), checked_headers(headers))
        except EncodeError as error:
            refused = Execution(name, plan.steps, context, plan.clock, self._rng, contexts)
            return refused.refuse(error)
        execution = Execution(name, steps, context, plan.clock, self._rng, contexts)
        time = plan.clock.time() if timestamp is None else timestamp.timestamp()
        variables = copy_context() if self._agents is None else self._agents.context.copy()
        with ExitStack() as in_use:
            variables.run(_use, in_use, plan.clock, self._rng)
            return await contexts.run(execution.run(first, round(time * 1000)), variables)

    async def execute_many(
        self,
        items: Iterable[InT | bytes] | AsyncIterable[InT | bytes],
        *,
        concurrency: int = 10,
        on_progress: Progress | None = None,
        context: Context | None = None,
        source: str | None = None,
    ) -> AsyncGenerator[ExecutionResult[OutT], None]:
        """Execute the pipeline for each item; see `Pipeline.execute_many`."""
        if concurrency < 1:
            raise PipelineError(f"execute_many(concurrency={concurrency}): give at least 1")
        total = len(items) if isinstance(items, Sized) else None
        results: asyncio.Queue[asyncio.Task[ExecutionResult[OutT]] | None]
        results = asyncio.Queue(concurrency)
        free = asyncio.Semaphore(concurrency)
        tasks: deque[asyncio.Task[Any]] = deque()

        async def execute(item: InT | bytes) -> ExecutionResult[OutT]:
            try:
                return await self.execute(item, _copied(context), source=source)
            finally:
                free.release()

        async def begin_all() -> None:
            try:
                async for item in _asynchronous(items):
                    await free.acquire()
                    tasks.append(asyncio.create_task(execute(item)))
                    await results.put(tasks[-1])
            except Exception:
                await results.put(None)  # what was begun before ends, and then this is told
                raise
            await results.put(None)

        beginning = asyncio.create_task(begin_all())
        try:
            done = 0
            while (task := await results.get()) is not None:
                result = await task
                tasks.popleft()
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
                yield result
            await beginning  # raises what the items have raised
        finally:
            beginning.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(beginning, *tasks, return_exceptions=True)

    def _first(
        self, data: InT | bytes | None, source: str | None
    ) -> tuple[list[ExecutionStep], Any]:
        """The stages for the data, and what the first of them is given.

        Bytes are what a topic would hold, `None` is a tombstone.

        Raises:
            PipelineError: there is no such source, or several take the data.
            EncodeError: the data are not of a source's type.
        """
        plan = self._plan
        where = f"pipeline {plan.topology.pipeline!r}"
        index = source_index(where, plan.sources, data, source, argument="source")
        steps, codec = plan.way(index, source), plan.sources[index].codec
        if data is None or isinstance(data, bytes):
            return steps, steps[0].handover.pack(EncodedValue(data))
        if not isinstance(data, codec.instance_of):
            wanted = type_name(codec.schema)
            raise EncodeError(f"the pipeline takes {wanted}, not a {type(data).__name__}")
        return steps, steps[0].handover.pack(data)


def executor_of(
    pipeline: "Pipeline[InT, OutT]", clock: Clock | None, rng: random.Random | None
) -> Executor[InT, OutT]:
    """An executor of a pipeline, whose plan is made once for a clock.

    Raises:
        PipelineError: the pipeline is wrong, or has no stage.
    """
    clock = clock or current_clock()
    if pipeline.plan is None or pipeline.plan.clock is not clock:
        pipeline.plan = Plan(pipeline, clock)
    return Executor(pipeline.plan, rng=rng)


def _use(in_use: ExitStack, clock: Clock, rng: random.Random) -> None:
    """Let agents find the clock and the random numbers of the execution."""
    if current_clock() is not clock:
        in_use.enter_context(clock_in_use(clock))
    if current_random() is not rng:
        in_use.enter_context(random_in_use(rng))


async def _asynchronous(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _copied(context: Context | None) -> Context | None:
    """A context of its own for each of many executions."""
    return None if context is None else Context(metadata=deepcopy(context.metadata))
