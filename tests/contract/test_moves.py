"""A pipeline that moves into a bundle, between two, or out of one goes on where it stood."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streamapp.errors import RenamedStageError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.renames.asked_once import AskedOnce
from streamapp.renames.moves import find_moves, store_moves
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from tests.contract.conftest import memory_subject
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.kafka import unique_name
from tests.patience import within

ALONE = None


class Moving:
    """A pipeline, and runs of it in one bundle or another, or alone."""

    def __init__(self, subject: Subject) -> None:
        self.rig = Rig(subject, unique_name("moving"))
        self.calls: Counter[int] = Counter()
        self.held: set[int] = set()
        self.gate = asyncio.Event()
        self.pipeline: Pipeline[Any, Any] = (
            self.rig.pipeline().stage(agent(self.work), name="work").sink(self.rig.out)
        )

    async def work(self, item: Item) -> Item:
        self.calls[item.n] += 1
        if item.n in self.held:
            await self.gate.wait()
        return item

    def service(self, bundle: str | None, config: RuntimeConfig = QUICK) -> Service:
        if bundle is ALONE:
            return Service(self.rig.subject.broker, [build(self.pipeline)], config=config)
        named = Bundle(f"{self.rig.name}-{bundle}", [self.pipeline])
        return Service(self.rig.subject.broker, build_bundle(named), config=config)

    async def run(self, bundle: str | None) -> None:
        async with within(PATIENCE_SECONDS, "the end of bounded work"):
            await self.service(bundle).run(until_end=True)

    @asynccontextmanager
    async def running(
        self, bundle: str | None, config: RuntimeConfig = QUICK
    ) -> AsyncIterator[Any]:
        service = self.service(bundle, config)
        task = asyncio.create_task(service.run())
        try:
            await eventually(lambda: service.metrics[0].rebalances)
            yield service.metrics[0]
        finally:
            service.stop()
            async with within(PATIENCE_SECONDS, "the service to stop"):
                await task


async def made_on(subject: Subject) -> Moving:
    made = Moving(subject)
    await made.rig.create(made.pipeline, partitions=2)
    return made


@pytest.fixture
async def moving(subject: Subject) -> Moving:
    return await made_on(subject)


async def test_nothing_is_read_again_or_passed_over_on_any_way(moving: Moving) -> None:
    ways = [ALONE, "a", "b", ALONE, "b"]
    for i, bundle in enumerate(ways):
        for partition in (0, 1):
            first = 100 * i + 50 * partition
            await moving.rig.put_items(range(first, first + 5), partition=partition)
        await moving.run(bundle)
        assert set(moving.calls.values()) == {1}
        assert len(moving.calls) == 10 * (i + 1)


async def test_what_was_finished_beyond_the_frontier_is_taken_along() -> None:
    moving = await made_on(memory_subject())
    await moving.rig.put_items(range(10), keys=10)
    moving.held.add(0)
    hasty = RuntimeConfig(commit_interval_seconds=0.05, shutdown_drain_seconds=0.1)
    async with moving.running(ALONE, hasty) as metrics:
        await eventually(lambda: metrics.records_out[moving.rig.out] == 9)
    moving.held.clear()
    await moving.run("a")
    assert moving.calls == {0: 2, **dict.fromkeys(range(1, 10), 1)}


@pytest.mark.parametrize(("before", "after"), [(ALONE, "a"), ("a", "b"), ("a", ALONE)])
async def test_a_group_that_is_still_at_work_is_not_left(
    before: str | None, after: str | None
) -> None:
    moving = await made_on(memory_subject())
    await moving.rig.put_items(range(3))
    await moving.run(before)
    async with moving.running(before):
        with pytest.raises(RenamedStageError, match="workers still read its topics"):
            await moving.run(after)
    await moving.run(after)
    assert set(moving.calls.values()) == {1}


async def test_a_group_at_work_is_not_left_on_a_broker(moving: Moving) -> None:
    await moving.rig.put_items(range(3))
    await moving.run("a")
    async with moving.running("a"):
        with pytest.raises(RenamedStageError, match="workers still read its topics"):
            await moving.service(ALONE).run()


async def test_two_workers_of_a_bundle_may_start_at_once() -> None:
    moving = await made_on(memory_subject())
    await moving.rig.put_items(range(20))
    await moving.run(ALONE)
    await moving.rig.put_items(range(20, 40), partition=1)
    async with moving.running("a") as one, moving.running("a") as two:
        out = moving.rig.out
        await eventually(lambda: one.records_out[out] + two.records_out[out] == 20)
    assert set(moving.calls.values()) == {1}


LATE = [(ALONE, "a"), ("a", "b"), ("a", ALONE)]
"""Ways of a worker that looks where its stages stand, and is slow until it stores what it saw."""


@pytest.mark.parametrize(("before", "after"), LATE)
async def test_a_worker_that_comes_late_takes_nothing_back_that_another_has_done(
    moving: Moving, before: str | None, after: str | None
) -> None:
    await moving.rig.put_items(range(5))
    await moving.run(before)
    segments = moving.service(after).topologies[0].segments
    async with moving.rig.subject.admin() as admin:
        late = await find_moves(AskedOnce(admin), segments)
        assert late.moved
        await moving.rig.put_items(range(5, 9))
        await moving.run(after)  # it has moved the stage, worked and left
        await store_moves(admin, late)
    await moving.run(after)
    assert moving.calls == dict.fromkeys(range(9), 1)


@pytest.mark.parametrize(("before", "after"), LATE)
async def test_what_was_committed_last_before_a_move_is_taken_along(
    before: str | None, after: str | None
) -> None:
    moving = await made_on(memory_subject())
    await moving.rig.put_items(range(5))
    await moving.run(before)
    segments = moving.service(after).topologies[0].segments
    async with moving.rig.subject.admin() as admin:
        late = await find_moves(AskedOnce(admin), segments)
        await moving.rig.put_items(range(5, 9))
        await moving.run(before)
        await store_moves(admin, late)
    await moving.run(after)
    assert moving.calls == dict.fromkeys(range(9), 1)


@pytest.mark.parametrize(("before", "after"), LATE)
async def test_a_group_that_is_at_work_again_meanwhile_is_not_left(
    before: str | None, after: str | None
) -> None:
    moving = await made_on(memory_subject())
    await moving.rig.put_items(range(5))
    await moving.run(before)
    segments = moving.service(after).topologies[0].segments
    async with moving.rig.subject.admin() as admin:
        late = await find_moves(AskedOnce(admin), segments)
        async with moving.running(before):
            with pytest.raises(RenamedStageError, match="workers still read its topics"):
                await store_moves(admin, late)
