"""Stages whose records wait for a delay after a failure, for the tests of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.topology import Topology
from streamapp.policies.policy import Policy, retry_later
from tests.patience import within
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import broker_with, loop, one_stage

TEN, MINUTE = "p.stage.retry-10s", "p.stage.retry-1m"
BOTH = retry_later([10, timedelta(minutes=1)])
SENT_MS = 1_699_999_999_000
SLACK = 0.1
"""A partition is looked at again at least ten times a second when its next record is due."""


@dataclass
class Calls:
    """An agent that fails so often for a value, and when it was called with it."""

    failures: dict[bytes, int] = field(default_factory=dict)
    error: Callable[[], Exception] = lambda: ValueError("not yet")
    at: list[tuple[bytes, float]] = field(default_factory=list)
    seen: list[tuple[str, int | None, int, Mapping[str, bytes]]] = field(default_factory=list)

    def call(self, value: bytes) -> bytes:
        self.at.append((value, loop().time()))
        if self.failures.get(value, 0):
            self.failures[value] -= 1
            raise self.error()
        return value

    def times(self, value: bytes) -> list[float]:
        return [at for called, at in self.at if called == value]

    @property
    def agent(self) -> Agent[bytes, bytes]:
        @agent
        def calls(value: bytes, context: Context) -> bytes:
            self.seen.append(
                (context.topic, context.record.offset, context.attempt, context.headers)
            )
            return self.call(value)

        return calls


def topology(calls: Calls, policy: Policy = BOTH, **settings: Any) -> Topology:
    return one_stage(calls.agent, policy, breaker=None, **settings)


async def topics(made: Topology, partitions: int = 1) -> FaultyBroker:
    return await broker_with(*made.topics(), partitions=partitions)


async def until_done(broker: FaultyBroker, *ends: tuple[str, int], seconds: float = 300) -> None:
    """Wait until topics have so many records."""
    async with within(seconds, f"{ends}", lambda: [broker.values(name) for name, _ in ends]):
        while any(len(broker.values(name)) < count for name, count in ends):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.05)
