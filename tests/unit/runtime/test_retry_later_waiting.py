"""While records wait for a delay: health, the end of bounded work, and what stands behind them."""

import asyncio
from collections import Counter

import pytest

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.brokers.protocols import ConsumerConfig, RebalanceListener
from streamapp.observability.health import stage_health
from streamapp.pipeline.agent import agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import drop, retry, retry_later
from streamapp.record import TopicPartition
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.later import BOTH, MINUTE, SLACK, TEN, Calls, topics, topology, until_done
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, one_stage, service


@in_virtual_time
async def test_a_stage_that_only_waits_is_healthy_and_tells_how_many_wait() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls, retry_later([600]))
    broker = await topics(made)
    stage = service(broker, made)
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await until(lambda: metrics.lag_records == 1, seconds=5)
        reasons = set()
        while not broker.values("p-out"):
            health = stage_health(metrics, loop().time(), 5.0)
            assert health.ok, health.reason
            reasons.add(health.reason)
            await asyncio.sleep(0.1)
        assert "running, 1 records wait for their retry" in reasons
        await broker.write("p-in", (b"k", b"b"))
        await until(lambda: len(broker.values("p-out")) == 2)
        assert stage_health(metrics, loop().time(), 5.0).ok


@in_virtual_time
async def test_a_retry_that_hangs_is_still_a_stall() -> None:
    calls = Calls({b"a": 1})
    hanging = asyncio.Event()

    @agent
    async def hangs(value: bytes) -> bytes:
        if calls.times(value):
            await hanging.wait()
        return calls.call(value)

    made = one_stage(hangs, retry_later([60]), breaker=None, timeout_seconds=600)
    broker = await topics(made)
    stage = service(broker, made)
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p.stage.retry-1m", 1))
        await asyncio.sleep(62)
        assert stage_health(metrics, loop().time(), 5.0).ok
        await asyncio.sleep(6)
        assert not stage_health(metrics, loop().time(), 5.0).ok
        hanging.set()


@in_virtual_time
async def test_a_retry_that_hangs_is_a_stall_although_a_later_record_waits() -> None:
    failed: set[bytes] = set()
    hanging = asyncio.Event()

    @agent
    async def hangs(value: bytes) -> bytes:
        if value in failed:
            await hanging.wait()
        failed.add(value)
        raise ValueError("at first")

    made = one_stage(hangs, retry_later([60]), breaker=None, timeout_seconds=600)
    broker = await topics(made)
    stage = service(broker, made)
    [metrics] = stage.metrics
    async with running(stage):
        await broker.write("p-in", (b"k", b"a"))
        await asyncio.sleep(50)
        await broker.write("p-in", (b"k", b"b"))
        await asyncio.sleep(12)
        assert stage_health(metrics, loop().time(), 5.0).ok
        await asyncio.sleep(8)
        assert not stage_health(metrics, loop().time(), 5.0).ok
        hanging.set()


@in_virtual_time
async def test_work_up_to_the_end_waits_for_what_is_retried_later() -> None:
    calls = Calls({b"a": 9, b"b": 1, b"c": 2}, error=lambda: OSError("down"))
    made = one_stage(calls.agent, BOTH)
    broker = await topics(made)
    await broker.write("p-in", *((b"k", one) for one in (b"a", b"b", b"c", b"d")))
    await service(broker, made).run(until_end=True)
    assert broker.values("p-out") == [b"d", b"b", b"c"]
    assert broker.values("p.stage.dlq") == [b"a"]
    assert 70 <= loop().time() < 75


@in_virtual_time
async def test_work_up_to_the_end_waits_for_however_many_are_retried_later() -> None:
    values = [b"%d" % n for n in range(200)]
    calls = Calls(dict.fromkeys(values, 1))
    made = topology(calls)
    broker = await topics(made)
    await broker.write("p-in", *((value, value) for value in values))
    await service(broker, made).run(until_end=True)
    assert Counter(broker.values("p-out")) == Counter(values)


@in_virtual_time
async def test_a_record_behind_which_too_many_wait_is_retried_later() -> None:
    calls = Calls({b"0": 99})
    policy = retry(5, then=retry_later([10], then=drop()), backoff=Backoff(100, max_seconds=100))
    made = topology(calls, policy, max_key_backlog_records=10)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(30)))
        await until_done(broker, (TEN, 1), ("p-out", 29), seconds=9)
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_one_that_came_back_is_retried_later_after_its_next_delay_if_others_wait() -> None:
    calls = Calls(dict.fromkeys((b"%d" % n for n in range(21)), 99))
    policy = retry(5, then=BOTH, backoff=Backoff(100, max_seconds=100))
    made = topology(calls, policy, max_key_backlog_records=10)
    broker = await topics(made)
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(21)))
        await until_done(broker, (TEN, 11), (MINUTE, 1), seconds=20)
        assert broker.values(MINUTE) == [b"0"]
        assert broker.values(TEN) == [b"%d" % n for n in range(11)]


@in_virtual_time
async def test_a_record_that_came_back_has_its_retries_although_others_wait_behind_it() -> None:
    calls = 0

    @agent
    async def fails(value: bytes) -> bytes:
        nonlocal calls
        if loop().time() < 9:
            raise LookupError("not yet")
        await asyncio.sleep(2 if value == b"0" else 0)
        calls += value == b"0"
        if value == b"0" and calls == 1:
            raise LookupError("once more")
        return value

    policy = retry(2, then=retry_later([10]), backoff=Backoff(0.01))
    made = one_stage(fails, policy, breaker=None, max_key_backlog_records=20)
    broker = await broker_with(*made.topics())
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k", b"%d" % n) for n in range(60)))
        await until_done(broker, ("p-out", 60))
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_records_that_came_back_are_not_taken_for_failing_when_much_is_in_flight() -> None:
    attempts: Counter[bytes] = Counter()

    @batch_agent(size=10, linger_seconds=0.01)
    async def fails(values: list[bytes]) -> list[bytes | Exception]:
        attempts.update(values)
        await asyncio.sleep(1 if len(values) == 1 else 0)
        return [ValueError("not yet") if attempts[one] <= 4 else one for one in values]

    policy = retry(2, then=retry_later([10]), backoff=Backoff(0.01))
    made = one_stage(fails, policy, breaker=None, max_in_flight_records=100, concurrency=4)
    broker = await broker_with(*made.topics())
    async with running(service(broker, made)):
        await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(80)))
        await until_done(broker, ("p-out", 80))
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_a_partition_is_paused_while_it_waits_and_only_then() -> None:
    calls = Calls({b"a": 1})
    made = topology(calls)
    broker = await topics(made)
    asked: list[tuple[str, int, float]] = []
    make = broker.consumer

    def consumer(config: ConsumerConfig, listener: RebalanceListener) -> MemoryConsumer:
        made = make(config, listener)
        pause, resume = made.pause, made.resume

        def paused(*places: TopicPartition) -> None:
            asked.extend(("pause", place.partition, loop().time()) for place in places)
            pause(*places)

        def resumed(*places: TopicPartition) -> None:
            asked.extend(("resume", place.partition, loop().time()) for place in places)
            resume(*places)

        made.pause, made.resume = paused, resumed  # type: ignore[method-assign]  # to look on
        return made

    broker.consumer = consumer  # type: ignore[method-assign]  # the same
    async with running(service(broker, made)):
        await broker.write("p-in", (b"k", b"a"))
        await until_done(broker, ("p-out", 1))
    assert [what for what, _, _ in asked] == ["pause", "resume"]
    assert asked[1][2] == pytest.approx(10, abs=SLACK)
