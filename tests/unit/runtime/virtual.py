"""Services on the memory broker in virtual time: hours pass in no time, and to the microsecond."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from streamapp.brokers.protocols import TopicSpec
from streamapp.clock import clock_in_use
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.policy import Policy, dead_letter
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.unit.runtime.faults import FaultyBroker

P = ParamSpec("P")

TURNS = 100_000
"""A test goes round the loop a few thousand times; one that goes on for ever is to end soon."""


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on an event loop whose time jumps to the next timer."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = VirtualLoop(random.Random(1), 0.0)
        loop.allow_turns(TURNS)
        try:
            loop.run_until_complete(_alone(test(*args, **kwargs)))
        finally:
            loop.close()

    return run


def on_virtual_clock(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The same, with the time of that loop as the current clock, as a service would set it."""

    @wraps(test)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with clock_in_use(VirtualClock(loop())):
            await test(*args, **kwargs)

    return in_virtual_time(run)


async def _alone(test: Coroutine[Any, Any, None]) -> None:
    """Run a test, and end what it leaves behind when it fails."""
    try:
        await test
    finally:
        me = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not me]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class Longest(random.Random):
    """Draws the upper end of every wait, so that waits can be told."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - signature of the base's
        return b


def loop() -> VirtualLoop:
    """The loop that the test runs on."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


async def broker_with(*topics: str, partitions: int = 1) -> FaultyBroker:
    """A broker on the clock of the virtual loop, with these topics."""
    broker = FaultyBroker(VirtualClock(loop()))
    await broker.admin().create_topics([TopicSpec(topic, partitions) for topic in topics])
    return broker


def one_stage(
    step: Agent[Any, Any], policy: Policy | None = None, name: str = "p", **settings: Any
) -> Topology:
    """One stage called `stage` between the topics `<name>-in` and `<name>-out`."""
    return build(
        Pipeline(name, source=Topic(f"{name}-in", bytes))
        .stage(step, name="stage", on_error=policy or dead_letter(), **settings)
        .sink(Topic(f"{name}-out", bytes))
    )


async def broker_for(*names: str, partitions: int = 1) -> FaultyBroker:
    """A broker with the topics of `one_stage` pipelines of these names."""
    topics = [f"{name}{end}" for name in names for end in ("-in", "-out", ".stage.dlq")]
    return await broker_with(*topics, partitions=partitions)


def service(
    broker: FaultyBroker, *topologies: Topology, config: RuntimeConfig | None = None
) -> Service:
    """A service on the clock of its broker, whose waits are as long as they can be."""
    return Service(broker, topologies, config=config, clock=broker.clock, rng=Longest(1))
