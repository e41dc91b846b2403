"""Topics that match a pattern, on a broker whose groups do not notice that topics come and go."""

import asyncio
from collections.abc import Collection

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.protocols import TopicSpec
from streamapp.observability.health import stage_health
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.runtime.decoders import Decoders
from streamapp.service import Service
from streamapp.topics.topic import Topic
from streamapp.topics.topic_pattern import TopicPattern
from tests.unit.runtime.agents import gated, same
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, service

NEVER = 10_000.0
MINUTE_SECONDS = 60.0


def by_pattern() -> Topology:
    pattern = TopicPattern("in[.].*", bytes)
    pipeline = Pipeline("p", source=pattern).stage(same, name="stage")
    return build(pipeline.sink(Topic("out", bytes)))


async def broker_of(*topics: str) -> FaultyBroker:
    broker = await broker_with("out", "p.stage.dlq", *topics)
    broker.notice_topics_after(NEVER)
    return broker


def read_by(*stages: Service) -> set[str]:
    return {name.topic for stage in stages for name in stage.metrics[0].partitions}


def waits_for(stage: Service) -> str | None:
    return stage.metrics[0].waits_for


@in_virtual_time
async def test_a_new_topic_is_read_within_a_minute_by_every_worker() -> None:
    broker = await broker_of("in.a")
    one, two = service(broker, by_pattern()), service(broker, by_pattern())
    async with running(one), running(two):
        await until(lambda: len(read_by(one, two)) == 1)
        await asyncio.sleep(7)
        await broker.admin().create_topics([TopicSpec("in.b", 2)])
        await broker.write("in.b", (b"k", b"new"), partition=1)
        rebalances = [stage.metrics[0].rebalances for stage in (one, two)]
        await until(lambda: read_by(one, two) == {"in.a", "in.b"}, seconds=MINUTE_SECONDS)
        await until(lambda: broker.values("out") == [b"new"])
        assert len(one.metrics[0].partitions) + len(two.metrics[0].partitions) == 3
        await asyncio.sleep(2 * MINUTE_SECONDS)
        assert [stage.metrics[0].rebalances - 1 for stage in (one, two)] == rebalances


@in_virtual_time
async def test_a_stage_without_a_topic_that_matches_says_what_it_waits_for() -> None:
    broker = await broker_of()
    stage = service(broker, by_pattern())
    async with running(stage):
        await until(lambda: waits_for(stage) is not None)
        assert waits_for(stage) == "a topic that matches in[.].*"
        await broker.admin().create_topics([TopicSpec("in.a", 1)])
        await until(lambda: read_by(stage) == {"in.a"}, seconds=MINUTE_SECONDS)
        assert waits_for(stage) is None
        await broker.admin().delete_topics(["in.a"])
        await until(lambda: not read_by(stage), seconds=MINUTE_SECONDS)
        assert waits_for(stage) == "a topic that matches in[.].*"


@in_virtual_time
async def test_it_says_so_before_its_group_has_answered() -> None:
    broker = await broker_of()
    broker.joins_unanswered = True
    stage = service(broker, by_pattern())
    async with running(stage):
        await until(lambda: waits_for(stage) == "a topic that matches in[.].*")
        assert stage.metrics[0].rebalances == 0


@in_virtual_time
async def test_topics_are_listed_no_more_than_every_thirty_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, asked = await broker_of("in.a"), list[float]()
    listed = MemoryAdmin.list_topics

    async def list_topics(admin: MemoryAdmin) -> Collection[str]:
        asked.append(loop().time())
        return await listed(admin)

    stage = service(broker, by_pattern())
    async with running(stage):
        await until(lambda: read_by(stage) == {"in.a"})
        monkeypatch.setattr(MemoryAdmin, "list_topics", list_topics)
        await asyncio.sleep(300)
    assert 9 <= len(asked) <= 11


@in_virtual_time
async def test_a_topic_that_matches_and_is_not_read_yet_is_told() -> None:
    broker = await broker_of("in.a")
    gate = asyncio.Event()
    pattern = TopicPattern("in[.].*", bytes)
    pipeline = Pipeline("p", source=pattern).stage(gated(gate), name="stage")
    stage = service(broker, build(pipeline.sink(Topic("out", bytes))))
    await broker.write("in.a", (b"k", b"old"))
    async with running(stage):
        metrics = stage.metrics[0]
        await until(lambda: metrics.in_flight_records == 1)
        await broker.admin().create_topics([TopicSpec("in.b", 1)])
        # The rebalance waits for the record in flight.
        await until(lambda: bool(metrics.topic_faults), seconds=MINUTE_SECONDS)
        assert metrics.topic_faults["in.b"].reason == "topic in.b matches and is not read yet"
        assert metrics.lag_records is None
        await broker.admin().delete_topics(["in.b"])
        await until(lambda: not metrics.topic_faults, seconds=MINUTE_SECONDS)
        await broker.admin().create_topics([TopicSpec("in.b", 1)])
        gate.set()
        await until(lambda: read_by(stage) == {"in.a", "in.b"}, seconds=MINUTE_SECONDS)
        await until(lambda: metrics.lag_records == 0)
        assert not metrics.topic_faults


@in_virtual_time
async def test_a_deleted_topic_is_let_go_at_the_next_look() -> None:
    broker = await broker_of("in.a", "in.b")
    stage = service(broker, by_pattern())
    async with running(stage):
        await until(lambda: read_by(stage) == {"in.a", "in.b"})
        await broker.admin().delete_topics(["in.b"])
        await until(lambda: read_by(stage) == {"in.a"}, seconds=15)
        await broker.write("in.a", (b"k", b"on"))
        await until(lambda: broker.values("out") == [b"on"])
        await until(lambda: stage_health(stage.metrics[0], broker.clock.monotonic(), 1.0).ok)
        assert not stage.metrics[0].topic_faults


@in_virtual_time
async def test_bounded_work_reads_no_topic_that_comes_after_its_start() -> None:
    broker = await broker_of("in.a")

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(2 * MINUTE_SECONDS)
        return value

    pattern = TopicPattern("in[.].*", bytes)
    pipeline = Pipeline("p", source=pattern).stage(slow, name="stage", timeout_seconds=NEVER)
    stage = service(broker, build(pipeline.sink(Topic("out", bytes))))
    await broker.write("in.a", (b"k", b"old"))
    bounded = asyncio.create_task(stage.run(until_end=True))
    await until(lambda: stage.metrics[0].in_flight_records == 1)
    await broker.admin().create_topics([TopicSpec("in.b", 1)])
    await broker.write("in.b", (b"k", b"new"))
    await bounded
    assert broker.values("out") == [b"old"]
    assert stage.metrics[0].rebalances == 1


def test_a_topic_is_known_by_the_pattern_before_it_is_read() -> None:
    decoders = Decoders(by_pattern().segments[0])
    assert decoders.knows("in.x")
    assert not decoders.knows("out")
    assert not Decoders().knows("in.x")
