"""An agent that blocks the event loop past the session: two workers take its partition in turn."""

import asyncio
import select
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from streamapp.errors import StageStoppedError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from tests.contract.conftest import kafka_subject
from tests.contract.harness import SESSION_SECONDS
from tests.contract.pipelines import Item, Rig
from tests.kafka import Kafka, unique_name
from tests.patience import within

BLOCK_SECONDS = SESSION_SECONDS + 2
CONFIG = RuntimeConfig(session_timeout_seconds=SESSION_SECONDS, commit_interval_seconds=0.1)


@asynccontextmanager
async def worker_beside(rig: Rig, pipeline: Pipeline[Item, Item]) -> AsyncIterator[None]:
    """Another worker, with an event loop of its own in a thread of its own."""
    began, found = threading.Event(), list[tuple[asyncio.AbstractEventLoop, Service]]()

    async def work() -> None:
        service = rig.service(pipeline, config=CONFIG)
        found.append((asyncio.get_running_loop(), service))
        began.set()
        with suppress(StageStoppedError):
            await service.run()

    working = asyncio.create_task(asyncio.to_thread(asyncio.run, work()))
    await asyncio.to_thread(began.wait)
    try:
        yield
    finally:
        [(loop, service)] = found
        if not working.done():
            loop.call_soon_threadsafe(service.stop)
        await working


@pytest.mark.timeout(250)
async def test_a_record_that_two_workers_begin_in_turn_stops_the_stage_and_is_named(
    kafka: Kafka,
) -> None:
    name, calls = unique_name("blocked"), Counter[int]()
    rig, beside = (Rig(kafka_subject(kafka), name) for _ in range(2))

    @agent
    def block(item: Item) -> Item:
        calls[item.n] += 1
        if item.n == 3:
            select.select([], [], [], BLOCK_SECONDS)  # a sleep that the tests do not forbid
        return item

    pipeline = rig.pipeline().stage(block).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(6))
    stage = rig.service(pipeline, config=CONFIG)
    async with worker_beside(beside, pipeline):
        with pytest.raises(StageStoppedError, match=r"'block' worked on .* offset 3") as raised:
            async with within(200, "the stage to stop", lambda: calls):
                await stage.run()
        assert calls[3] >= 3
    assert "declare the agent as @agent(blocking=True)" in str(raised.value)

    in_a_thread = agent(blocking=True)(block.function)
    pipeline = rig.pipeline().stage(in_a_thread, name="block").sink(rig.out)
    await rig.run_to_end(pipeline, config=CONFIG)
    assert await rig.committed("block") == {rig.first_partition(): 6}
    assert set(await rig.read_numbers(rig.out)) == set(range(6))
