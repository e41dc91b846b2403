"""What surrounds an agent: the variables of its attempts, and the task that opens and closes it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any

import pytest

from streamapp.errors import StageError
from streamapp.pipeline.agent import agent
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import Item, Rig, eventually
from tests.kafka import unique_name
from tests.patience import within

NUMBER: ContextVar[int] = ContextVar("NUMBER")
SERVICE: ContextVar[str] = ContextVar("SERVICE")


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("surroundings"))


def plain(item: Item) -> Item | None:
    """Give the item if its variables are those that it may see."""
    seen = NUMBER.get(None), SERVICE.get(None)
    NUMBER.set(item.n)
    return item if seen == (None, "set before the start") else None


async def waits(item: Item) -> Item | None:
    given = plain(item)
    await asyncio.sleep(0.001 * (item.n % 3))
    return given if NUMBER.get() == item.n else None


@pytest.mark.parametrize(("function", "blocking"), [(plain, False), (waits, False), (plain, True)])
async def test_no_attempt_sees_what_another_has_set(
    rig: Rig, function: Callable[[Item], Any], *, blocking: bool
) -> None:
    SERVICE.set("set before the start")
    step = agent(name="looks", blocking=blocking)(function)
    pipeline = rig.pipeline().stage(step, concurrency=4).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(30))
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(30))


class Rates:
    """Keeps its rates fresh in the background, in a task group that it holds while it is open."""

    def __init__(self) -> None:
        self.source_is_gone = asyncio.Event()
        self.stack = AsyncExitStack()
        self.closed = 0

    async def open(self) -> None:
        group = await self.stack.enter_async_context(asyncio.TaskGroup())
        self.refreshing = group.create_task(self._refresh())

    async def close(self) -> None:
        self.closed += 1
        self.refreshing.cancel()
        await self.stack.aclose()

    async def __call__(self, item: Item) -> Item:
        if item.n == 3:
            await asyncio.Event().wait()
        return item

    async def _refresh(self) -> None:
        await self.source_is_gone.wait()
        raise ConnectionError("no rates")


async def test_an_agent_holds_a_task_group_from_its_opening_to_its_closing(rig: Rig) -> None:
    rates = Rates()
    pipeline = rig.pipeline().stage(agent(name="rates")(rates)).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(3))
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == [0, 1, 2]
    assert rates.closed == 1


async def test_a_stage_ends_when_the_task_group_of_its_agent_fails(rig: Rig) -> None:
    rates = Rates()
    step = agent(name="rates")(rates)
    pipeline = rig.pipeline().stage(step, name="rated", timeout_seconds=60).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(6), keys=6)
    service = rig.service(pipeline)
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.metrics[0].records_out[rig.out] == 5)
    rates.source_is_gone.set()
    with pytest.raises(
        StageError, match="'rates' of stage 'rated' has ended while its stage ran: ConnectionError"
    ):
        async with within(2 * PATIENCE_SECONDS, "the service to end", lambda: service.metrics):
            await task
    assert rates.closed == 1
    assert (await rig.committed("rated"))[rig.first_partition()] == 3
    assert await rig.read(rig.dead_letters("rated")) == []
