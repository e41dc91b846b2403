"""The driver: what a test gives a pipeline to."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import Admin, ProducerConfig, TopicSpec
from streamapp.clock import Clock, SystemClock
from streamapp.errors import ConfigurationError, PipelineError
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.testing.inputs import Input, InputWriter
from streamapp.testing.results import PipelineResults
from streamapp.testing.running import RunningPipeline
from streamapp.topics.declaration import DEFAULT_MAX_MESSAGE_BYTES
from streamapp.topics.letter_limits import DEAD_LETTER_EXTRA_BYTES

InT = TypeVar("InT")
OutT = TypeVar("OutT")

_CONFIG = RuntimeConfig(
    commit_interval_seconds=0.01,
    shutdown_drain_seconds=1.0,
    waits_for_others=False,
    waits_until_due=False,
)

_LOOKING = replace(_CONFIG, topic_check_interval_seconds=0.01, topic_list_interval_seconds=0.0)

_LETTERS = {"max.message.bytes": str(DEFAULT_MAX_MESSAGE_BYTES + DEAD_LETTER_EXTRA_BYTES)}


class PipelineDriver(Generic[InT, OutT]):
    """Runs a pipeline on a memory broker of its own, anew for each `run` or `start`.

    ```python
    driver = PipelineDriver(pipeline)
    results = driver.run([Event(session_id="s", stall_ms=2500), b"not JSON"])
    assert results.outputs == [Stall(session_id="s", seconds=2.5)]
    assert [letter.reason for letter in results.dead_letters()] == ["decode"]
    ```

    Args:
        pipeline: the pipeline.
        partitions: number of partitions of every topic.
        timeout_seconds: longest wait until all inputs are finished.
        clock: gives records without a timestamp theirs, such as a `FixedClock`.

    Raises:
        PipelineError: the pipeline is wrong.
    """

    def __init__(
        self,
        pipeline: Pipeline[InT, OutT],
        *,
        partitions: int = 1,
        timeout_seconds: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(pipeline, Pipeline):
            raise PipelineError(
                f"PipelineDriver was given a value of type {type(pipeline).__name__};"
                " give it a Pipeline"
            )
        self._sources = pipeline.sources
        self._topology = build(pipeline)
        self._partitions = partitions
        self._timeout_seconds = timeout_seconds
        self._clock = clock or SystemClock()

    def run(self, inputs: Iterable[InT | Input[InT] | bytes]) -> PipelineResults[OutT]:
        """Run the pipeline over some inputs and return what it wrote.

        It runs an event loop of its own; inside a running one, use `start`.

        Args:
            inputs: values of the source topic's schema; bytes, which are written as they are; or
                `Input`s, which have a key, headers, a timestamp or the name of the topic as well.
                Of several source topics, a value goes to the one that takes its type.

        Raises:
            PipelineError: several source topics take an input that names none.
            EncodeError: an input is not of the source topic's schema.
            StageStoppedError: the policy of a stage said stop.
            StageError: an agent could not be opened.
            UnfinishedError: the inputs were not finished within `timeout_seconds`.
        """

        async def run() -> PipelineResults[OutT]:
            async with self.start() as running:
                await running.send_all(inputs)
                return await running.results()

        _refuse_running_loop()
        return asyncio.run(run())

    @asynccontextmanager
    async def start(self) -> "AsyncIterator[RunningPipeline[InT, OutT]]":
        """Run the pipeline for the length of an `async with` block.

        ```python
        async with driver.start() as running:
            await running.send(Event(session_id="s", stall_ms=2500), key="s")
            results = await running.results()
        ```

        At the end of the block the pipeline is stopped; an error of its that `results` has not
        raised is raised there.
        """
        broker = MemoryBroker(self._clock)
        segments = self._topology.segments
        letters = {step.dead_letters for one in segments for step in one.steps}
        letters.update(name for one in segments for name in one.retry_topics)
        topics = [
            TopicSpec(name, self._partitions, config=_LETTERS if name in letters else {})
            for name in self._topology.topics()
        ]
        await broker.admin().create_topics(topics)
        producer = broker.producer(ProducerConfig())
        await producer.start()
        has_patterns = any(segment.patterns for segment in self._topology.segments)
        config = _LOOKING if has_patterns else _CONFIG
        service = Service(
            broker, [self._topology], config=config, clock=self._clock, rng=_NoWaits()
        )
        task = asyncio.create_task(service.run())
        running: RunningPipeline[InT, OutT] = RunningPipeline(
            topology=self._topology,
            writer=InputWriter(
                f"pipeline {self._topology.pipeline!r}",
                self._sources,
                self._partitions,
                producer,
                create=partial(self._create, broker.admin()),
            ),
            broker=broker,
            service=service,
            task=task,
            partitions=self._partitions,
            timeout_seconds=self._timeout_seconds,
        )
        try:
            yield running
            service.stop()
            await running.ended()
        finally:
            service.stop()
            await asyncio.gather(task, return_exceptions=True)  # a failed block has its own error
            await producer.stop()

    async def _create(self, admin: Admin, topic: str) -> None:
        """Make a topic that matches a pattern, unless it exists."""
        if topic not in await admin.list_topics():
            await admin.create_topics([TopicSpec(topic, self._partitions)])


class _NoWaits(random.Random):
    """Draws the shortest wait between two attempts, which is none."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "PipelineDriver.run() runs an event loop of its own and cannot be called inside a running"
        " one; use `async with driver.start() as running:`"
    )
