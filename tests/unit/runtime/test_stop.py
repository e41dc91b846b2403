"""A stage that stops starts nothing more, not even what its lanes are in the middle of."""

import asyncio

import pytest

from streamapp.errors import Permanent, StageStoppedError
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import stop
from streamapp.service import Service
from tests.patience import within
from tests.unit.runtime.faults import PATIENCE_SECONDS
from tests.unit.runtime.test_faults import broker_for, topology

LANES = 4


async def test_lanes_that_wait_in_the_middle_of_a_chunk_take_no_more_of_it_after_a_stop() -> None:
    broker = await broker_for("a")
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

    service = Service(broker, [topology("a", refuses_one, stop(), concurrency=LANES)])
    await broker.write("a-in", *((b"k%d" % n, b"%d" % n) for n in range(2000)))
    with pytest.raises(StageStoppedError):
        async with within(PATIENCE_SECONDS, "the service to stop", lambda: service.metrics):
            await service.run()
    assert 0 < started_at_stop <= started <= started_at_stop + LANES
