"""Combinators in process: the same values, retries and timeouts as on a broker."""

import asyncio

from streamapp.errors import Transient
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.status import PipelineStatus
from tests.unit.pipeline.execution.agents import Item, executor, failing, pipeline, tagging
from tests.unit.runtime.virtual import in_virtual_time, loop


def merge(item: Item, first: Item, second: Item) -> Item:
    return Item(n=item.n, tags=[*item.tags, *first.tags, *second.tags])


async def test_a_nest_of_combinators_gives_what_its_parts_give() -> None:
    nested = chain(
        fallback(failing("away", OSError()), tagging("a")),
        parallel(tagging("b"), branch(tagging("c"), retry=retry(1))).join(merge),
    )
    result = await pipeline(nested).execute(Item(n=1))
    assert result.output == Item(n=1, tags=["a", "a", "b", "a", "c"])


@in_virtual_time
async def test_a_branch_is_retried_and_timed_by_the_clock_of_the_execution() -> None:
    waits = iter((60.0, 1.0))

    @agent
    async def slow(item: Item) -> Item:
        await asyncio.sleep(next(waits))
        return item

    policy = retry(1, backoff=Backoff(base_seconds=10))
    joined = parallel(tagging("a"), branch(slow, timeout_seconds=5, retry=policy)).join(merge)
    began = loop().time()
    async with executor(pipeline(joined)) as runs:
        result = await runs.execute(Item())
    assert result.output == Item(tags=["a"])
    assert round(loop().time() - began) == 5 + 10 + 1
    assert result.stages[0].attempts == 1  # to the stage it is one


@in_virtual_time
async def test_the_policy_of_the_stage_retries_all_branches() -> None:
    calls: list[str] = []

    @agent
    async def flaky(item: Item) -> Item:
        calls.append("flaky")
        if len(calls) < 3:
            raise Transient("busy")
        return item

    joined = parallel(tagging("a"), flaky).join(merge)
    async with executor(pipeline(joined, on_error=retry(2))) as runs:
        result = await runs.execute(Item(n=2))
    assert (result.status, result.output) == (PipelineStatus.SUCCESS, Item(n=2, tags=["a"]))
    assert result.stages[0].attempts == 3
    assert asyncio.all_tasks() == {asyncio.current_task()}
