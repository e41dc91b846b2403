"""`chain(…)`: each output of one agent goes through the next, in order and as it was."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Results, Shape
from tests.unit.pipeline.parts import Fixed, Item, odd, twice, up_to


@agent
def plus_one(item: Item) -> Item:
    return Item(n=item.n + 1)


@agent
async def later(item: Item) -> Item:
    await asyncio.sleep(0)
    return item


@agent
def lazily(item: Item) -> Iterator[Item]:
    for i in range(item.n):
        yield Item(n=i)


@agent
async def lazily_async(item: Item) -> AsyncIterator[Item]:
    for i in range(item.n):
        await asyncio.sleep(0)
        yield Item(n=i)


@agent
def keyed(item: Item) -> Out[int]:
    return Out(item.n, key="k")


def test_a_chain_of_plain_agents_is_plain() -> None:
    made = chain(plus_one, plus_one, twice)
    assert made(Item(n=1)) == 6
    assert (made.name, made.kind, made.shape) == (
        "plus-one-then-plus-one-then-twice", "chain", Shape.PLAIN,
    )  # fmt: skip
    assert (made.input_type, made.output_type, made.results) == (Item, int, Results())


async def test_one_async_agent_makes_it_async() -> None:
    made = chain(plus_one, later, twice)
    assert made.shape is Shape.ASYNC
    assert await made(Item(n=1)) == 4


def test_none_ends_the_way_of_a_value() -> None:
    made = chain(odd, twice)
    assert made.results == Results(none=True)
    assert (made(Item(n=3)), made(Item(n=2))) == (6, None)


@pytest.mark.parametrize("many", [up_to, lazily])
def test_each_of_many_goes_through_the_next_in_order(many: Agent[Item, Item]) -> None:
    made = chain(many, odd, up_to, twice)
    assert (made.shape, made.results) == (Shape.ITERATOR, Results(none=True, many=True))
    assert list(made(Item(n=4))) == [0, 0, 2, 4]


async def test_each_of_many_asynchronously() -> None:
    made = chain(lazily_async, odd, up_to, later, twice)
    assert made.shape is Shape.ASYNC_ITERATOR
    assert [one async for one in made(Item(n=4))] == [0, 0, 2, 4]


def test_an_output_is_made_when_it_is_asked_for() -> None:
    asked: list[int] = []

    @agent
    def look(item: Item) -> int:
        asked.append(item.n)
        return item.n

    outputs = chain(lazily, look)(Item(n=1_000_000_000))
    assert [next(outputs), next(outputs)] == [0, 1]
    assert asked == [0, 1]
    outputs.close()


async def test_generators_are_closed_when_nobody_reads_on() -> None:
    closed: list[str] = []

    @agent
    async def first(item: Item) -> AsyncIterator[Item]:
        try:
            while True:
                yield item
        finally:
            closed.append("first")

    @agent
    async def second(item: Item) -> AsyncIterator[Item]:
        try:
            while True:
                yield item
        finally:
            closed.append("second")

    outputs = chain(first, second)(Item(n=1))
    await anext(outputs)
    await outputs.aclose()
    assert closed == ["second", "first"]


async def test_plain_generators_are_closed_at_once_when_nobody_reads_on() -> None:
    closed: list[str] = []

    @agent
    def first(item: Item) -> Iterator[Item]:
        try:
            while True:
                yield item
        finally:
            closed.append("first")

    outputs = chain(first, twice)(Item(n=1))
    assert next(outputs) == 2
    outputs.close()
    assert closed == ["first"]


def test_the_last_may_give_an_out() -> None:
    made = chain(plus_one, keyed)
    assert made.results == Results(out=True)
    assert made(Item(n=1)) == Out(2, key="k")


def test_an_agent_keeps_what_it_has_given_unchanged() -> None:
    kept = Item(n=1)

    @agent
    def cached(_: Item) -> Item:
        return kept

    @agent
    def spoil(item: Item) -> int:
        item.tags.append("spoilt")
        return len(item.tags)

    made = chain(cached, spoil)
    assert (made(Item(n=1)), made(Item(n=1)), kept.tags) == (1, 1, [])


def test_a_value_that_nothing_can_change_is_handed_on_as_it_is() -> None:
    fixed = Fixed(n=1)
    seen: list[Fixed] = []

    @agent
    def give(_: Item) -> Fixed:
        return fixed

    @agent
    def take(value: Fixed) -> int:
        seen.append(value)
        return value.n

    chain(give, take)(Item(n=1))
    assert seen[0] is fixed


def test_values_between_two_agents_need_not_be_json() -> None:
    class Thing:
        """A class of which pydantic knows nothing."""

    @agent
    def make(_: Item) -> Thing:
        return Thing()

    @agent
    def use(thing: Thing) -> str:
        return type(thing).__name__

    assert chain(make, use)(Item(n=1)) == "Thing"


def test_every_agent_gets_the_context_if_it_takes_one() -> None:
    @agent
    def attempt(_: Item, context: Context) -> Item:
        return Item(n=context.attempt)

    context = Context("p", "s", attempt=7)
    assert chain(attempt, twice)(Item(n=1), context) == 14
    assert list(chain(up_to, attempt, twice)(Item(n=1), context)) == [14]


async def test_a_blocking_agent_runs_in_a_thread() -> None:
    @agent(blocking=True)
    def blocks(item: Item) -> Iterator[Item]:
        with pytest.raises(RuntimeError):  # no event loop runs in this thread
            asyncio.get_running_loop()
        yield item
        yield item

    assert [one async for one in chain(blocks, twice)(Item(n=2))] == [4, 4]


@agent
def nothing(_: Item) -> None: ...


@pytest.mark.parametrize(
    ("agents", "says"),
    [
        ([keyed, twice], "'keyed' gives Out, but its key, headers or route would be lost in 'twi"),
        ([nothing, twice], "'nothing' gives no outputs, so nothing would go through 'twice'"),
        ([twice, plus_one], "agent 'plus-one' takes Item, but 'twice' gives int"),
        ([twice], "takes two or more agents"),
        ([twice, len], r"chain\(\) was given len; give agents"),
    ],
)
def test_agents_that_do_not_fit_are_refused(agents: list[Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        chain(*agents)


def test_what_was_not_declared_is_not_handed_on_by_one_of_many() -> None:
    wrong: Agent[Any, Any] = agent(name="given", input_type=Item, output_type=Item)(lambda _: 1)
    with pytest.raises(EncodeError, match="gave a value of type int, and is declared to give Item"):
        list(chain(up_to, wrong, twice)(Item(n=1)))


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        ([Item(n=1)], "'given' gave a list, where one value is needed"),
        (Out(Item(n=1)), "'given' gave an Out, where one value is needed"),
        (1, "gave a value of type int, and is declared to give Item"),
    ],
)
def test_what_was_not_declared_is_not_handed_on(gives: Any, says: str) -> None:
    given: Agent[Any, Any] = agent(name="given", input_type=Item, output_type=Item)(lambda _: gives)
    with pytest.raises(EncodeError, match=says):
        chain(given, twice)(Item(n=1))
