"""A pool of three real HTTP endpoints, one of which hangs, dies and lives again, on a real Kafka.

Records are written and checked by the plain clients of tests/torture.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from streamapp.cli.plan_text import as_text
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.topics.topic import Topic
from tests.contract.conftest import kafka_subject
from tests.contract.pipelines import Rig, eventually
from tests.endpoints import Caller, Endpoint, Mood
from tests.kafka import Kafka, unique_name
from tests.pages import Pages
from tests.probes import most_probes
from tests.torture.feeder import Feeder
from tests.torture.pipeline import Done, Item
from tests.torture.verdict import judge, read

CAPACITY = 8
RATE = 150.0
PARTITIONS = 3
KEYS = 60
PATIENCE_SECONDS = 60.0
BREAKER = BreakerConfig(first_probe_seconds=0.2, longest_probe_seconds=1.0)
SECONDS = {"fast": 0.04, "slow": 0.1, "moody": 0.04}
CONCURRENCY = CAPACITY * len(SECONDS)
TIMEOUT_SECONDS = 2.0
RUSH_RECORDS = 400

pytestmark = pytest.mark.timeout(240)


class Member(Caller):
    async def __call__(self, item: Item) -> Done:
        return Done(id=await self.ask(item.id), pid=os.getpid())


@dataclass(frozen=True, slots=True)
class Stand:
    """The endpoints, their clients, and what a plain client and an operator see."""

    endpoints: dict[str, Endpoint]
    members: dict[str, Member]
    feeder: Feeder
    pages: Pages
    metrics: StageMetrics

    async def is_left_out(self, member: str) -> bool:
        """Whether metrics and status both say so."""
        [stage] = await self.pages.status()
        told = {one["member"]: one["breaker"] for one in stage["members"]}
        closed = await self.pages.sample(
            "streamapp_member_breaker_state", agent=member, breaker="closed"
        )
        return told[member] != "closed" and closed == 0

    async def rush(self) -> None:
        """Bring so many records at once that every member is full, whatever its score.

        As many are worked on at a time as all members can take, each of another key, and as long as
        more wait, none of these places is free: so no speed of the machine keeps a member idle.
        """
        await self.feeder.load(RUSH_RECORDS)

    async def flows(self, records: int = 100) -> None:
        """Wait until so many more records are done, and nothing was held."""
        enough = self.metrics.processed + records
        await eventually(lambda: self.metrics.processed >= enough, seconds=PATIENCE_SECONDS)

    async def calls(self, member: str) -> float:
        return await self.pages.sample("streamapp_member_calls_total", agent=member)


def declared(name: str, members: dict[str, Member]) -> Pipeline[Any, Any]:
    agents: list[Agent[Item, Done]] = [
        branch(agent(name=name)(member), timeout_seconds=TIMEOUT_SECONDS)
        for name, member in members.items()
    ]
    shared = pool(*agents, capacity=CAPACITY, breaker=BREAKER, name="ask")
    return (
        Pipeline(name, source=Topic(f"{name}.in", Item))
        .stage(shared, concurrency=CONCURRENCY, breaker=BREAKER)
        .sink(f"{name}.out")
    )


@asynccontextmanager
async def standing(kafka: Kafka, name: str) -> AsyncIterator[Stand]:
    rig = Rig(kafka_subject(kafka), name)
    async with AsyncExitStack() as stack:
        endpoints = {one: Endpoint(seconds=seconds) for one, seconds in SECONDS.items()}
        for endpoint in endpoints.values():
            await endpoint.live()
            stack.push_async_callback(endpoint.die)
        members = {one: Member(endpoint.url) for one, endpoint in endpoints.items()}
        pipeline = declared(name, members)
        await rig.create(pipeline, partitions=PARTITIONS)
        service = await stack.enter_async_context(rig.running(pipeline))
        pages = await stack.enter_async_context(Pages.of(service))
        feeder = await stack.enter_async_context(
            Feeder.on(kafka.bootstrap_servers, f"{name}.in", keys=KEYS)
        )
        plan = as_text(service.outlines[0])
        assert "pool ask: Item -> Done" in plan
        assert all(f"─ {one}: Item -> Done" in plan for one in members), plan
        await eventually(lambda: service.metrics[0].rebalances == 1, seconds=PATIENCE_SECONDS)
        yield Stand(endpoints, members, feeder, pages, service.metrics[0])


async def test_a_member_that_hangs_dies_and_lives_again_costs_no_record(kafka: Kafka) -> None:
    name = unique_name("endpoints")
    async with standing(kafka, name) as stand:
        stand.feeder.feed(RATE)
        await stand.rush()
        await all_are_called(stand)
        await one_hangs_and_is_left_out(stand)
        await it_dies_and_is_not_missed(stand)
        await it_lives_again_and_is_taken_back(stand)
        assert stand.metrics.holds == 0
        await all_die_and_records_are_held(stand)
        await stand.feeder.stop()
        sent = stand.feeder.sent
        await eventually(lambda: stand.metrics.processed == sent, seconds=PATIENCE_SECONDS)
        await eventually(lambda: stand.metrics.lag_records == 0, seconds=PATIENCE_SECONDS)
        assert stand.metrics.rebalances == 1
        assert {one.outcomes["opened"] for one in stand.members.values()} == {1}
    await assert_nothing_is_lost(kafka, name, stand.feeder)


async def all_are_called(stand: Stand) -> None:
    for member in stand.members:
        await eventually(
            lambda member=member: at_least(stand.calls(member), CAPACITY), seconds=PATIENCE_SECONDS
        )
    assert not any([await stand.is_left_out(member) for member in stand.members])


async def one_hangs_and_is_left_out(stand: Stand) -> None:
    stand.endpoints["moody"].mood = Mood.HANGS
    await stand.rush()
    await eventually(lambda: stand.is_left_out("moody"), seconds=BREAKER.window_seconds)
    failed = stand.members["moody"].outcomes["timed out"]
    assert failed >= BREAKER.consecutive_failures
    assert stand.endpoints["moody"].seen[Mood.HANGS] >= failed
    assert (await stand.pages.verdict("readyz"))[0] == 200
    await stand.flows()


async def it_dies_and_is_not_missed(stand: Stand) -> None:
    await stand.endpoints["moody"].die()
    outcomes = stand.members["moody"].outcomes
    await eventually(lambda: outcomes["refused"] > 1, seconds=PATIENCE_SECONDS)
    assert await stand.is_left_out("moody")
    began, before = monotonic(), outcomes["refused"]
    await stand.flows()
    refused, seconds = outcomes["refused"] - before, monotonic() - began
    assert refused <= 1 + most_probes(BREAKER, seconds)  # one may be due already
    assert not await stand.is_left_out("fast")


async def it_lives_again_and_is_taken_back(stand: Stand) -> None:
    answered = stand.endpoints["moody"].seen[Mood.ANSWERS]
    await stand.endpoints["moody"].live()
    await eventually(lambda: is_not(stand.is_left_out("moody")), seconds=PATIENCE_SECONDS)
    await stand.rush()
    await eventually(
        lambda: stand.endpoints["moody"].seen[Mood.ANSWERS] > answered + CAPACITY,
        seconds=PATIENCE_SECONDS,
    )


async def all_die_and_records_are_held(stand: Stand) -> None:
    for endpoint in stand.endpoints.values():
        await endpoint.die()
    await eventually(lambda: stand.metrics.held_since is not None, seconds=PATIENCE_SECONDS)
    await eventually(
        lambda: at_least(stand.pages.sample("streamapp_probes_total"), 2), seconds=PATIENCE_SECONDS
    )
    code, reason = await stand.pages.verdict("readyz")
    assert (code, "records are held for" in reason) == (503, True), reason
    assert (await stand.pages.verdict("healthz"))[0] == 200
    for endpoint in stand.endpoints.values():
        await endpoint.live()
    await eventually(lambda: stand.metrics.held_since is None, seconds=PATIENCE_SECONDS)
    await stand.flows()


async def assert_nothing_is_lost(kafka: Kafka, name: str, feeder: Feeder) -> None:
    servers = kafka.bootstrap_servers
    source, outputs = await read(servers, f"{name}.in"), await read(servers, f"{name}.out")
    letters = await read(servers, f"{name}.ask.dlq")
    counts = judge(feeder.acknowledged, feeder.unknown, source, outputs, len(letters))
    assert counts.acknowledged == feeder.sent >= 500
    found = (counts.lost, counts.forgotten, counts.duplicates, counts.strangers)
    assert (*found, counts.inversions, counts.dead_letters) == (0,) * 6, counts


async def at_least(value: Any, least: float) -> bool:
    return bool(await value >= least)


async def is_not(answer: Any) -> bool:
    return not await answer
