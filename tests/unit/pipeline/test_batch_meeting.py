"""Middleware around each item of a batch: the items meet at the call of the agent."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import Permanent
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.agent_call import AgentCall
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.batch_call import FailedCall
from streamapp.pipeline.context import Context
from streamapp.pipeline.middleware import Call, StageMiddleware, checked_middleware
from streamapp.pipeline.stage import Stage
from streamapp.serialisation import codec_for
from tests.patience import eventually


def batches_of(seen: list[list[int]]) -> Agent[int, int]:
    @batch_agent(size=100)
    async def tenfold(values: list[int]) -> list[int | Exception]:
        seen.append(values)
        await asyncio.sleep(0)
        if 13 in values:
            raise OSError("down")
        return [ValueError("seven") if value == 7 else 10 * value for value in values]

    return tenfold


async def call(made: Agent[Any, Any], values: list[int], *middleware: Any) -> list[Any]:
    """Call it with middleware around each value; the context says which value it is about."""
    stage = Stage(stage_id="s", stage_name="s", agent=made)
    codec = codec_for(int)
    added = [checked_middleware("here", one) for one in middleware]
    ready = AgentCall(
        made,
        stage_id="s",
        gives=codec,
        routes=(),
        max_outputs=10,
        threads=None,
        middleware=StageMiddleware(added, stage, codec, codec),
    )
    assert ready.many is not None
    return await ready.many(values, [Context(metadata={"n": value}) for value in values])


def told(results: list[Any]) -> list[Any]:
    return [str(one) if isinstance(one, Exception) else one for one in results]


async def next_number(data: int, _stage: Stage, context: Context) -> int:
    """Refuse zero."""
    if data == 0:
        raise Permanent("zero")
    await asyncio.sleep(0)
    assert context.metadata["n"] == data
    return data + 1


async def test_what_runs_before_sees_each_item_and_the_agent_is_called_once() -> None:
    seen: list[list[int]] = []
    results = await call(batches_of(seen), [1, 0, 2, 6], next_number)
    assert told(results) == [20, "zero", 30, "seven"]
    assert seen == [[2, 3, 7]]


async def test_items_that_are_answered_before_the_call_are_not_in_the_batch() -> None:
    async def known(data: int, _stage: Stage, _context: Context, call: Call) -> int:
        if data == 2:
            return -2
        answer: int = await call(data)
        return answer

    seen: list[list[int]] = []
    assert await call(batches_of(seen), [1, 2, 3], known) == [10, -2, 30]
    assert await call(batches_of(seen), [2], known) == [-2]
    assert seen == [[1, 3]]


async def test_items_that_call_again_meet_again() -> None:
    async def twice(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        first = await call(data)
        return first if data == 1 else [first, await call(data + 1)]

    seen: list[list[int]] = []
    assert await call(batches_of(seen), [1, 2, 4], twice) == [10, [20, 30], [40, 50]]
    assert seen == [[1, 2, 4], [3, 5]]


async def test_an_item_may_call_twice_at_once() -> None:
    async def doubled(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        return list(await asyncio.gather(call(data), call(data + 1)))

    seen: list[list[int]] = []
    assert await call(batches_of(seen), [1, 4], doubled) == [[10, 20], [40, 50]]
    assert sorted(value for batch in seen for value in batch) == [1, 2, 4, 5]


async def test_an_exception_of_one_item_can_be_caught_for_it() -> None:
    async def forgiving(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        try:
            return await call(data)
        except ValueError:
            return 0

    assert await call(batches_of([]), [7, 1], forgiving) == [0, 10]


async def test_middleware_is_not_told_of_a_failed_call_with_several_items() -> None:
    caught: list[int] = []

    async def forgiving(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        if data == 0:
            return -1
        try:
            return await call(data)
        except OSError:
            caught.append(data)
            return 0

    ended, *failed = await call(batches_of([]), [0, 2, 13, 3], forgiving)
    assert (ended, caught) == (-1, [])
    for one in failed:
        assert isinstance(one, FailedCall)
        assert (str(one.error), one.count) == ("down", 3)
    assert await call(batches_of([]), [13], forgiving) == [0]
    assert caught == [13]


async def test_an_item_that_gives_up_waiting_does_not_stop_the_others() -> None:
    late = asyncio.Event()

    @batch_agent(size=100)
    async def slow(values: list[int]) -> list[int]:
        await late.wait()
        return values

    async def impatient(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        if data != 1:
            return await call(data)
        task = asyncio.ensure_future(call(data))
        await asyncio.sleep(0)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            late.set()
            return -1

    assert await call(slow, [1, 2], impatient) == [-1, 2]


async def test_a_cancelled_batch_leaves_nothing_running() -> None:
    ended: list[int] = []

    async def waiting(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        try:
            return await call(data)
        finally:
            ended.append(data)

    @batch_agent(size=100)
    async def endless(values: list[int]) -> list[int]:
        await asyncio.sleep(600)
        return values

    before = asyncio.all_tasks()
    task = asyncio.create_task(call(endless, [1, 2], waiting))
    await eventually(lambda: len(asyncio.all_tasks()) == len(before) + 4, seconds=10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [1, 2]
    assert asyncio.all_tasks() == before


PLANS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["call", "skip", "again"])),
    min_size=1,
    max_size=6,
)


@given(PLANS)
def test_whatever_middleware_does_every_item_gets_its_own_result(
    plans: list[tuple[int, int, str]],
) -> None:
    async def planned(data: int, _stage: Stage, _context: Context, call: Call) -> Any:
        before, after, way = plans[data]
        for _ in range(before):
            await asyncio.sleep(0)
        if way == "skip":
            return ("skip", data)
        answers = [await call(data)]
        for _ in range(after):
            await asyncio.sleep(0)
        if way == "again":
            answers.append(await call(data))
        return (way, *answers)

    @batch_agent(size=100)
    async def same(values: list[int]) -> list[int]:
        seen.append(values)
        await asyncio.sleep(0)
        return values

    seen: list[list[int]] = []
    results = asyncio.run(call(same, list(range(len(plans))), planned))
    count: dict[str, Callable[[int], tuple[Any, ...]]] = {
        "call": lambda n: ("call", n),
        "skip": lambda n: ("skip", n),
        "again": lambda n: ("again", n, n),
    }
    assert results == [count[way](n) for n, (_, _, way) in enumerate(plans)]
    first = [n for n, (_, _, way) in enumerate(plans) if way != "skip"]
    assert [sorted(batch) for batch in seen[:1]] == ([first] if first else [])
    assert len(seen) <= 2
