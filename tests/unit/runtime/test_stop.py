"""A stage that stops starts nothing more, not even what its lanes are in the middle of."""

import asyncio

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import stop
from tests.patience import within
from tests.unit.runtime.faults import PATIENCE_SECONDS
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service

LANES = 4


@in_virtual_time
async def test_lanes_that_wait_in_the_middle_of_a_chunk_take_no_more_of_it_after_a_stop() -> None:
    broker = await broker_for("p")
    started = started_at_stop = 0

    @agent
    async def refuses_one(value: bytes) -> bytes:
        nonlocal started, started_at_stop
        started += 1
        await asyncio.sleep(0)
        if value == b"7":
            started_at_stop = started
            raise Permanent("no")
        return value

    stage = service(broker, one_stage(refuses_one, stop(), concurrency=LANES))
    await broker.write("p-in", *((b"k%d" % n, b"%d" % n) for n in range(2000)))
    with pytest.raises(StageStoppedError):
        async with within(PATIENCE_SECONDS, "the service to stop", lambda: stage.metrics):
            await stage.run()
    assert 0 < started_at_stop <= started <= started_at_stop + LANES


@in_virtual_time
async def test_a_lane_that_goes_on_in_the_turn_of_a_stop_takes_no_more_of_its_chunk() -> None:
    broker, gate, begun = await broker_for("p"), asyncio.Event(), list[bytes]()

    @agent
    async def refuse_the_first(value: bytes) -> bytes:
        begun.append(value)
        if value in {b"0", b"1"}:
            await gate.wait()  # both go on in one turn of the event loop and in one time slice
        if value == b"0":
            raise Permanent
        return value

    stage = service(broker, one_stage(refuse_the_first, stop(), concurrency=2))
    await broker.write("p-in", *((b"%d" % n, b"%d" % n) for n in range(9)))
    asyncio.get_running_loop().call_later(0.001, gate.set)
    with pytest.raises(StageStoppedError):
        await stage.run()
    assert begun == [b"0", b"1"]
