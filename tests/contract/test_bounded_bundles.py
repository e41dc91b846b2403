"""Bounded work of a bundle in which a stage fails: the others reach their end, and it is told."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from streamapp.errors import StageError, StageStoppedError, UnreadableRecordError
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import stop
from streamapp.record import TopicPartition
from streamapp.service import Service
from tests.contract.harness import PATIENCE_SECONDS, Subject
from tests.contract.pipelines import Item, Rig
from tests.contract.test_bundles import Dying, put_beside
from tests.kafka import unique_name
from tests.patience import within

BESIDE = 3000
"""Records of each other pipeline: far more than are worked on before a stage fails."""

STAGES = ("first", "second", "third")


class Three:
    """A pipeline of three stages, beside two others; a stage stops at a record that is bad.

    Attributes:
        calls: how often each stage was given each number.
        bad: name of the stage, and number.
    """

    def __init__(self, subject: Subject, *bad: tuple[str, int]) -> None:
        self.rig = Rig(subject, unique_name("bounded"), is_bundled=True)
        self.calls: Counter[tuple[str, int]] = Counter()
        self.bad = set(bad)
        made: Pipeline[Any, Any] = self.rig.pipeline()
        for name in STAGES:
            made = made.stage(self.working(name), name=name, on_error=stop())
        self.pipeline = made.sink(self.rig.out)

    def working(self, name: str) -> Any:
        @agent(name=name)
        async def work(item: Item) -> Item:
            self.calls[name, item.n] += 1
            if (name, item.n) in self.bad:
                raise ValueError(f"{item.n} is not liked")
            return item

        return work

    def source(self, name: str) -> str:
        before = STAGES.index(name) - 1
        return self.rig.source().name if before < 0 else f"{self.rig.name}.{STAGES[before]}"

    async def committed(self, name: str) -> int:
        place = TopicPartition(self.source(name), 0)
        return (await self.rig.committed(name)).get(place, 0)

    async def run(self) -> None:
        await run(self.rig.service(self.pipeline))

    async def beside(self) -> list[list[int]]:
        return [await self.rig.read_numbers(f"{name}.out") for name in self.rig.beside]


async def run(service: Service) -> None:
    """Run all that is there."""
    async with within(4 * PATIENCE_SECONDS, "bounded work to end", lambda: service.metrics):
        await service.run(until_end=True)


def contained(service: Service) -> list[str]:
    """The stages that have failed, and have kept no other from its work."""
    failed = [one.stage for one in service.metrics if one.state is StageState.FAILED]
    assert failed == [one.stage for one in service.metrics if one.is_contained]
    return failed


async def three(subject: Subject, *bad: tuple[str, int], partitions: int = 1) -> Three:
    made = Three(subject, *bad)
    await made.rig.create(made.pipeline, partitions=partitions)
    await put_beside(made.rig, *range(BESIDE))
    return made


@pytest.mark.parametrize("failing", STAGES)
async def test_the_other_pipelines_end_well_and_the_next_run_ends_the_work(
    subject: Subject, failing: str
) -> None:
    work = await three(subject, (failing, 2))
    await work.rig.put_items(range(6), keys=1)
    service = work.rig.service(work.pipeline)
    with pytest.raises(StageStoppedError, match="offset 2"):
        await run(service)
    assert contained(service) == [failing]
    assert await work.beside() == [list(range(BESIDE))] * 2
    assert await work.committed(failing) == 2  # where the next run begins
    work.bad.clear()
    await work.run()
    assert sorted(await work.rig.read_numbers(work.rig.out)) == list(range(6))
    again = {(failing, 2): 2}
    assert work.calls == Counter({(s, n): 1 for s in STAGES for n in range(6)} | again)
    assert await work.beside() == [list(range(BESIDE))] * 2


async def test_what_a_contained_stage_leaves_is_not_waited_for_by_another_worker(
    subject: Subject,
) -> None:
    work = await three(subject, ("second", 2), partitions=2)
    for partition in (0, 1):
        await work.rig.put_items(range(6), keys=1, partition=partition)
    workers = [asyncio.create_task(work.run()) for _ in range(2)]
    await asyncio.wait(workers, timeout=6 * PATIENCE_SECONDS)
    assert [task.done() for task in workers] == [True, True]
    errors = [task.exception() for task in workers]
    assert any(isinstance(error, StageStoppedError) for error in errors)
    assert all(error is None or isinstance(error, StageStoppedError) for error in errors)
    assert [sorted(set(numbers)) for numbers in await work.beside()] == [list(range(BESIDE))] * 2
    work.bad.clear()
    await work.run()
    assert set(await work.rig.read_numbers(work.rig.out)) == set(range(6))


async def test_a_record_that_cannot_be_read_holds_no_other_pipeline_back(subject: Subject) -> None:
    work = await three(subject)
    await work.rig.put_items(range(3), keys=1)
    await subject.put_unreadable(TopicPartition(work.source("first"), 0))
    service = work.rig.service(work.pipeline)
    with pytest.raises(UnreadableRecordError, match="offset 3"):
        await run(service)
    assert contained(service) == ["first"]
    assert await work.beside() == [list(range(BESIDE))] * 2
    assert await work.committed("first") == 3


async def test_an_agent_that_ends_by_itself_holds_no_other_pipeline_back(subject: Subject) -> None:
    rig = Rig(subject, unique_name("bounded"), is_bundled=True)

    class DyingAtWork(Dying):
        async def __call__(self, item: Item) -> Item:
            self.is_over.set()
            await asyncio.Event().wait()  # until it is cancelled
            return item

    dying = agent(name="dying")(DyingAtWork())
    pipeline = rig.pipeline().stage(dying, name="dying").sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(3))
    await put_beside(rig, *range(BESIDE))
    service = rig.service(pipeline)
    with pytest.raises(StageError, match="dying"):
        await run(service)
    assert contained(service) == ["dying"]
    for name in rig.beside:
        assert await rig.read_numbers(f"{name}.out") == list(range(BESIDE))
    assert set((await rig.committed("dying")).values()) <= {0}
