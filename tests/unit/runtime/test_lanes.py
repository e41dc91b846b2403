"""Lanes work side by side, let others have their turns, and send what is full or done."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from streamapp.observability.lane_time import Activity
from streamapp.pipeline.agent import agent
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

LANES = 8


@in_virtual_time
async def test_as_many_records_as_there_are_lanes_are_tried_and_tried_again_side_by_side() -> None:
    broker, calls = await broker_for("p"), Counter[bytes]()
    running_now = most_running = 0
    most: list[int] = []

    @agent
    async def fail_once(value: bytes) -> bytes:
        nonlocal running_now, most_running
        calls[value] += 1
        running_now += 1
        most_running = max(most_running, running_now)
        await asyncio.sleep(1)
        running_now -= 1
        if not running_now:
            most.append(most_running)
            most_running = 0
        if calls[value] == 1:
            raise OSError
        return value

    backoff = Backoff(base_seconds=2, max_seconds=2)
    topology = one_stage(fail_once, retry(1, backoff=backoff), concurrency=LANES, breaker=None)
    stage = service(broker, topology)
    async with running(stage):
        await broker.write("p-in", *((b"%d" % n, b"%d" % n) for n in range(LANES)))
        await until(lambda: len(broker.values("p-out")) == LANES)
        assert loop().time() == pytest.approx(1 + 2 + 1, abs=0.1)
    assert most == [LANES, LANES]


@in_virtual_time
async def test_agents_that_never_suspend_let_others_have_a_turn_and_full_flushes_leave() -> None:
    broker, turns = await broker_for("p"), list[float]()

    @agent
    def busy(value: bytes) -> bytes:
        loop().burn(0.001)
        return value

    async def take_turns() -> None:
        while True:
            turns.append(loop().time())
            await asyncio.sleep(0)

    config = RuntimeConfig(flush_records=20, linger_seconds=3600)
    stage = service(broker, one_stage(busy), config=config)
    await broker.write("p-in", *((b"k", b"%d" % n) for n in range(1000)))
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        turning = asyncio.create_task(take_turns())
        await asyncio.sleep(0.5)
        assert 400 < len(broker.values("p-out")) < 600
        turning.cancel()
        await until(lambda: len(broker.values("p-out")) == 1000)
    waits = [after - before for before, after in pairwise(turns)]
    assert 0.01 <= max(waits) < 0.012


@in_virtual_time
async def test_an_output_leaves_as_soon_as_its_lane_has_nothing_left_to_do() -> None:
    broker = await broker_for("p")

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(1)
        return value

    stage = service(broker, one_stage(slow), config=RuntimeConfig(linger_seconds=3600))
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.values("p-out") == [b"1"])
        assert loop().time() == pytest.approx(1, abs=0.05)


@in_virtual_time
async def test_the_time_of_lanes_is_told_by_what_they_did_and_only_while_they_run() -> None:
    broker = await broker_for("p")

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(10)
        return value

    stage = service(broker, one_stage(slow, concurrency=2))
    time_of_lanes = stage.metrics[0].lane_time
    async with running(stage):
        await until(lambda: stage.metrics[0].rebalances == 1)
        began, before = loop().time(), dict(time_of_lanes.seconds(loop().time()))
        await broker.write("p-in", (b"a", b"1"), (b"a", b"2"), (b"b", b"3"))
        await until(lambda: len(broker.values("p-out")) == 3, seconds=60)
        ended = loop().time()
        after = dict(time_of_lanes.seconds(ended))
        assert after[Activity.BUSY] - before[Activity.BUSY] == pytest.approx(30, abs=0.1)
        assert after[Activity.BLOCKED] == 0
        assert sum(after.values()) - sum(before.values()) == pytest.approx(2 * (ended - began))
    stopped = dict(time_of_lanes.seconds(loop().time()))
    assert dict(time_of_lanes.seconds(loop().time() + 1000)) == stopped
