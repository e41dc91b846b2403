"""A member that takes no records for long goes on polling, or its group would put it out."""

import asyncio
from itertools import pairwise

import pytest

from streamapp.brokers.memory.consumer import MemoryConsumer
from streamapp.pipeline.agent import agent
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service


@in_virtual_time
async def test_a_full_stage_polls_however_often_records_finish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polled: list[float] = []
    fetch = MemoryConsumer.fetch

    async def noting(consumer: MemoryConsumer, *partitions: object, **limits: object) -> object:
        polled.append(asyncio.get_running_loop().time())
        return await fetch(consumer, *partitions, **limits)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(MemoryConsumer, "fetch", noting)

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(0.2)
        return value

    broker = await broker_for("p")
    await broker.write("p-in", *((b"k", b"%d" % i) for i in range(100)))
    stage = service(broker, one_stage(slow, concurrency=1, max_in_flight_records=100))
    await stage.run(until_end=True)

    assert max(after - before for before, after in pairwise(polled)) < 1
