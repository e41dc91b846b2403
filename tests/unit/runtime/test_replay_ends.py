"""An end in the middle of a replay commits all that was acknowledged before it."""

import asyncio

import pytest

from streamapp.pipeline.agent import agent
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

NUMBERED = [b"%d" % n for n in range(50)]
NEVER_BY_ITSELF = RuntimeConfig(commit_interval_seconds=3600)

pytestmark = pytest.mark.timeout(20)


@agent
async def same(value: bytes) -> bytes:
    return value


async def write(broker: FaultyBroker, *values: bytes) -> None:
    await broker.write("p-in", *((value, value) for value in values))


async def replay_that_goes_on(broker: FaultyBroker) -> None:
    """Let the next batch fail, and no producer take its place."""
    broker.producers_refused = True
    broker.fail_batches["p-out"] = 1
    await write(broker, b"fails")
    await until(lambda: broker.fired["start"] > 0)


@in_virtual_time
async def test_a_stop_during_a_replay_commits_what_was_acknowledged() -> None:
    broker = await broker_for("p")
    await write(broker, *NUMBERED)
    async with running(service(broker, one_stage(same), config=NEVER_BY_ITSELF)):
        await until(lambda: len(broker.values("p-out")) == 50)
        await replay_that_goes_on(broker)
        assert await broker.committed("p.stage") == 0
        began_at = loop().time()
    assert await broker.committed("p.stage") == 50
    assert loop().time() - began_at < 1  # it does not wait for the producer
    broker.producers_refused = False
    await service(broker, one_stage(same)).run(until_end=True)
    assert broker.values("p-out") == [*NUMBERED, b"fails"]


@in_virtual_time
async def test_a_batch_that_fails_in_the_drain_takes_nothing_from_what_was_acknowledged() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    @agent
    async def hold_the_last(value: bytes) -> bytes:
        if value == b"last":
            await gate.wait()
        return value

    await write(broker, *NUMBERED, b"last")
    async with running(service(broker, one_stage(hold_the_last), config=NEVER_BY_ITSELF)) as task:
        await until(lambda: len(broker.values("p-out")) == 50)
        broker.producers_refused = True
        broker.fail_batches["p-out"] = 1
        asyncio.get_running_loop().call_later(1, gate.set)
        assert not task.done()
    assert broker.fired["p-out"] == 1
    assert await broker.committed("p.stage") == 50


@in_virtual_time
async def test_a_rebalance_during_a_replay_commits_what_was_acknowledged() -> None:
    broker = await broker_for("p")
    await write(broker, *NUMBERED)
    first, second = (service(broker, one_stage(same), config=NEVER_BY_ITSELF) for _ in range(2))
    async with running(first):
        await until(lambda: len(broker.values("p-out")) == 50)
        await replay_that_goes_on(broker)
        broker.producers_refused = False  # for the second one; the first waits for its next try
        async with running(second):
            await until(lambda: second.metrics[0].rebalances == 1)
            assert await broker.committed("p.stage") == 50
            await until(lambda: b"fails" in broker.values("p-out"))
    assert broker.values("p-out") == [*NUMBERED, b"fails"]
