"""Executors: agents are opened once and closed; many items at once, in their order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar

import pytest

from streamapp.clock import current_clock
from streamapp.errors import PipelineError, StageError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.context import Context
from streamapp.policies.policy import dead_letter, stop
from streamapp.randomness import current_random
from streamapp.status import PipelineStatus
from tests.simulation.loop import VirtualClock
from tests.unit.pipeline.execution.agents import Item, executor, failing, pipeline, tagging
from tests.unit.runtime.virtual import Longest, in_virtual_time, loop

TOKEN: ContextVar[str] = ContextVar("TOKEN", default="")


class Client:
    """An agent with clients, which says what happened to it."""

    def __init__(self, fails: str = "") -> None:
        self.calls: list[str] = []
        self._fails = fails

    async def open(self) -> None:
        self.calls.append("open")
        TOKEN.set("opened")
        if self._fails == "open":
            raise OSError("away")

    async def close(self) -> None:
        self.calls.append("close")

    async def __call__(self, item: Item) -> Item:
        self.calls.append(TOKEN.get())
        if self._fails == "call":
            raise ValueError("no")
        return item


async def test_an_agent_is_opened_once_and_closed_and_its_variables_are_seen() -> None:
    client = Client()
    used = agent(client)
    await pipeline(used).stage(used, name="again").execute(Item())
    assert client.calls == ["open", "opened", "opened", "close"]


async def test_an_agent_is_closed_after_a_failure_too() -> None:
    client = Client("call")
    result = await pipeline(agent(client), on_error=stop()).execute(Item())
    assert result.status is PipelineStatus.FAILED
    assert client.calls == ["open", "opened", "close"]


async def test_an_agent_that_does_not_open_is_told_and_the_others_are_closed() -> None:
    good, bad = Client(), Client("open")
    with pytest.raises(StageError, match=r"agent 'bad' of stage 'bad' could not be opened: OSErr"):
        await pipeline(agent(good), agent(name="bad")(bad)).execute(Item())
    assert good.calls == ["open", "close"]


async def test_an_executor_keeps_agents_open_for_many_calls() -> None:
    client = Client()
    async with pipeline(agent(client)).executor() as open_executor:
        for n in range(3):
            assert (await open_executor.execute(Item(n=n))).output == Item(n=n)
    assert client.calls == ["open", "opened", "opened", "opened", "close"]


async def test_an_executor_that_is_not_open_is_refused() -> None:
    closed = pipeline(tagging("a")).executor()
    with pytest.raises(PipelineError, match="the executor of pipeline 'p' is not open"):
        await closed.execute(Item())


async def test_a_stage_that_is_added_later_is_executed_too() -> None:
    made = pipeline(tagging("a"))
    await made.execute(Item())
    assert (await made.stage(tagging("b")).execute(Item())).output == Item(tags=["a", "b"])
    assert (await made.execute(Item())).output == Item(tags=["a"])


def waiting(running: set[int], most: list[int]) -> Callable[[Item], object]:
    async def wait(item: Item) -> Item:
        running.add(item.n)
        most.append(len(running))
        await asyncio.sleep(10 - item.n)
        running.discard(item.n)
        return item

    return wait


@in_virtual_time
async def test_many_results_come_in_the_order_of_the_items_however_long_each_takes() -> None:
    most: list[int] = []
    made = pipeline(agent(name="w", input_type=Item, output_type=Item)(waiting(set(), most)))
    told: list[tuple[int, int | None]] = []
    async with executor(made) as open_executor:
        items = [Item(n=n) for n in range(10)]
        results = [
            result.outputs[0].n
            async for result in open_executor.execute_many(
                items, concurrency=3, on_progress=lambda *numbers: told.append(numbers)
            )
        ]
    assert results == list(range(10))
    assert max(most) == 3
    assert told == [(n + 1, 10) for n in range(10)]
    assert loop().time() < sum(range(1, 11))


@in_virtual_time
async def test_items_are_taken_no_faster_than_results_are() -> None:
    taken = []

    async def endless() -> AsyncIterator[Item]:
        n = 0
        while True:
            taken.append(n)
            yield Item(n=n)
            n += 1

    async with executor(pipeline(tagging("a"))) as open_executor:
        results = open_executor.execute_many(endless(), concurrency=4)
        assert (await anext(results)).outputs == [Item(n=0, tags=["a"])]
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(taken) <= 10
        await results.aclose()


@in_virtual_time
async def test_a_result_is_given_while_the_next_item_is_not_there_yet() -> None:
    async def slowly() -> AsyncIterator[Item]:
        yield Item(n=1)
        await asyncio.sleep(1000)
        yield Item(n=2)

    async with executor(pipeline(tagging("a"))) as open_executor:
        results = open_executor.execute_many(slowly())
        await anext(results)
        assert loop().time() == 0
        await results.aclose()
    assert loop().time() == 0


@in_virtual_time
async def test_who_stops_reading_results_leaves_nothing_running() -> None:
    running: set[int] = set()
    made = pipeline(agent(name="w", input_type=Item, output_type=Item)(waiting(running, [])))
    before = len(asyncio.all_tasks())
    async with executor(made) as open_executor:
        results = open_executor.execute_many([Item(n=n) for n in range(9)], concurrency=5)
        await anext(results)
        await results.aclose()
    assert len(asyncio.all_tasks()) == before


async def test_failures_of_some_items_are_in_their_results() -> None:
    made = pipeline(tagging("a"), on_error=dead_letter())
    items = [Item(n=0), b"{", Item(n=2)]
    statuses = [result.status async for result in made.execute_many(items)]
    assert statuses == ["success", "failed", "success"]


async def test_an_error_of_the_items_is_raised_after_the_results_before_it() -> None:
    def breaking() -> Iterator[Item]:
        yield Item(n=1)
        raise KeyError("the source broke")

    results = pipeline(tagging("a")).execute_many(breaking())
    assert (await anext(results)).output == Item(n=1, tags=["a"])
    with pytest.raises(KeyError, match="the source broke"):
        await anext(results)


async def test_agents_are_opened_once_for_many_items_and_closed_by_who_stops() -> None:
    client = Client()
    results = pipeline(agent(client)).execute_many([Item(), Item(), Item()])
    await anext(results)
    await results.aclose()
    assert (client.calls[0], client.calls.count("open"), client.calls[-1]) == ("open", 1, "close")


async def test_each_of_many_executions_has_a_context_of_its_own() -> None:
    @agent
    def counting(item: Item, context: Context) -> Item:
        context.metadata["n"] = context.metadata.get("n", 0) + 1
        return item

    given = Context(metadata={"tenant": "a"})
    made = pipeline(counting)
    results = [one async for one in made.execute_many([Item(), Item()], context=given)]
    assert [one.context.metadata for one in results] == [{"tenant": "a", "n": 1}] * 2
    assert given.metadata == {"tenant": "a"}


@in_virtual_time
async def test_agents_find_the_clock_and_the_random_numbers_of_the_execution() -> None:
    seen = []

    @agent
    def asking(item: Item) -> Item:
        seen.extend([current_clock(), current_random()])
        return item

    clock, rng = VirtualClock(loop()), Longest()
    outside = current_clock()
    async with pipeline(asking).executor(clock=clock, rng=rng) as open_executor:
        await open_executor.execute(Item())
    assert seen == [clock, rng]
    assert current_clock() is outside


async def test_parts_of_an_agent_are_opened_too_each_once() -> None:
    client = Client()
    part = agent(name="part")(client)
    result = await pipeline(fallback(part, tagging("b"))).stage(part).execute(Item())
    assert result.status is PipelineStatus.SUCCESS
    assert (client.calls.count("open"), client.calls.count("close")) == (1, 1)


async def test_a_concurrency_of_none_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"execute_many\(concurrency=0\): give at least 1"):
        async for _ in pipeline(failing("a", ValueError())).execute_many([Item()], concurrency=0):
            pass
