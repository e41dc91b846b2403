"""How long attempts take, and that others have their turn between them."""

import asyncio

import pytest

from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.virtual import (
    broker_for,
    broker_with,
    in_virtual_time,
    loop,
    one_stage,
    service,
)


@in_virtual_time
async def test_attempts_are_measured_from_their_own_beginning_to_their_end() -> None:
    broker, left = await broker_for("p"), [True, True, False]

    @agent
    async def fail_twice(value: bytes) -> bytes:
        await asyncio.sleep(10)
        if left.pop(0):
            raise OSError
        return value

    await broker.write("p-in", (b"k", b"1"))
    patient = retry(2, backoff=Backoff(base_seconds=100, max_seconds=100))
    stage = service(broker, one_stage(fail_twice, patient))
    await stage.run(until_end=True)
    measured = stage.metrics[0].attempt_duration
    assert sum(measured.counts) == 3
    assert measured.total == pytest.approx(3 * 10_000_000, abs=3)


@in_virtual_time
async def test_the_event_loop_has_a_turn_each_ten_milliseconds_in_a_fan_out() -> None:
    broker = await broker_with("in", "out", "p.split.dlq", "p.work.dlq")
    turns = list[float]()

    @agent(name="split")
    async def split(value: bytes) -> list[bytes]:
        await asyncio.sleep(1)
        return [value] * 200

    @agent(name="work")
    def work(value: bytes) -> bytes:
        loop().burn(0.001)
        turns.append(loop().turns)
        return value

    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(split, on_error=dead_letter())
    stage = service(
        broker, build(pipeline.stage(work, fused=True, on_error=dead_letter()).sink("out"))
    )
    await broker.write("in", (b"k", b"1"))
    await stage.run(until_end=True)
    assert len(broker.values("out")) == 200
    assert 200 / 11 <= len(set(turns)) <= 200 / 9


@in_virtual_time
async def test_an_attempt_that_cleans_up_after_its_timeout_is_not_stuck() -> None:
    broker, seen = await broker_for("p"), set[int]()

    @agent
    async def tidy(value: bytes) -> bytes:
        await asyncio.sleep(0.1)
        if value == b"hangs":
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(20):
                    await asyncio.sleep(0.1)
                    seen.add(stage.metrics[0].stuck_attempts)
        return value

    await broker.write("p-in", (b"k", b"1"), (b"k", b"hangs"), (b"k", b"3"))
    stage = service(broker, one_stage(tidy, dead_letter(), concurrency=1, timeout_seconds=1))
    await stage.run(until_end=True)
    assert seen == {0}
    assert broker.values("p-out") == [b"1", b"3"]
    assert error_headers(broker.records("p.stage.dlq")[0])["reason"] == "timeout"
