"""`choose(when(…), otherwise=…)`: one agent works on each value, and it is the right one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.when import when
from streamapp.pipeline.context import Context
from streamapp.pipeline.signature import Results, Shape
from tests.unit.pipeline.parts import Fixed, Item, odd, text, twice, up_to


def is_large(item: Item) -> bool:
    return item.n > 10


def is_retry(_: Item, context: Context) -> bool:
    return context.attempt > 1


def context(attempt: int) -> Context:
    return Context("p", "s", attempt=attempt)


def named(name: str) -> Agent[Item, str]:
    @agent(name=name)
    def says(item: Item) -> str:
        return f"{name} {item.n}"

    return says


def test_the_first_agent_whose_predicate_holds_works() -> None:
    chosen = choose(
        when(is_large, named("large")), when(lambda item: item.n > 5, named("some")),
        otherwise=named("few"),
    )  # fmt: skip
    assert [chosen(Item(n=n)) for n in (11, 6, 1)] == ["large 11", "some 6", "few 1"]
    assert (chosen.name, chosen.kind) == ("large-or-some-or-few", "choose")
    assert [part.name for part in chosen.parts] == ["large", "some", "few"]
    assert (chosen.shape, chosen.takes_context, chosen.output_type) == (Shape.PLAIN, False, str)


async def test_one_async_agent_makes_all_async() -> None:
    chosen = choose(when(is_large, text), otherwise=named("few"))
    assert chosen.shape is Shape.ASYNC
    assert [await chosen(Item(n=n)) for n in (11, 1)] == ["11", "few 1"]


def test_a_predicate_may_ask_the_context() -> None:
    chosen = choose(when(is_retry, named("again")), otherwise=named("first"))
    assert chosen.takes_context
    assert chosen(Item(n=1), context(1)) == "first 1"
    assert chosen(Item(n=1), context(2)) == "again 1"


def test_a_predicate_without_annotations_may_take_a_context() -> None:
    predicate: Any = lambda _, context: context.attempt > 1  # noqa: E731 - it has no annotations
    again = when(predicate, named("again"))
    chosen = choose(again, otherwise=named("first"))
    assert chosen(Item(n=1), context(2)) == "again 1"


def test_a_second_parameter_with_a_default_is_no_context() -> None:
    predicate: Any = lambda item, limit=5: item.n > limit  # noqa: E731 - it has no annotations
    chosen = choose(when(predicate, named("many")), otherwise=named("few"))
    assert not chosen.takes_context
    assert chosen(Item(n=6)) == "many 6"


def test_an_agent_of_the_choice_gets_the_context_if_it_takes_one() -> None:
    @agent
    def attempt(_: Item, context: Context) -> str:
        return f"attempt {context.attempt}"

    chosen = choose(when(is_large, attempt), otherwise=named("few"))
    assert (chosen(Item(n=11), context(3)), chosen(Item(n=1), context(3))) == ("attempt 3", "few 1")


def test_different_outputs_are_a_union_and_results_are_those_of_all() -> None:
    chosen = choose(when(is_large, odd), otherwise=up_to)
    assert (chosen.output_type, chosen.results) == (Item, Results(none=True, many=True))
    assert (chosen(Item(n=12)), chosen(Item(n=1))) == (None, [Item(n=0)])
    assert choose(when(is_large, odd), otherwise=twice).output_type == Item | int


def test_an_agent_without_outputs_adds_no_type() -> None:
    @agent
    def nothing(_: Item) -> None: ...

    assert choose(when(is_large, nothing), otherwise=twice).output_type is int
    assert choose(when(is_large, nothing), otherwise=nothing).output_type is type(None)


def test_a_generator_is_not_run_ahead() -> None:
    made: list[int] = []

    @agent
    def endless(item: Item) -> Iterator[int]:
        while True:
            made.append(item.n)
            yield item.n

    chosen = choose(when(is_large, endless), otherwise=twice)
    assert chosen.shape is Shape.ITERATOR
    outputs = chosen(Item(n=11))
    assert [next(outputs), next(outputs)] == [11, 11]
    assert len(made) == 2
    outputs.close()
    assert list(chosen(Item(n=2))) == [4]


async def test_an_async_generator_is_closed_when_nobody_reads_on() -> None:
    closed: list[bool] = []

    @agent
    async def endless(item: Item) -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0)
                yield item.n
        finally:
            closed.append(True)

    outputs = choose(when(is_large, endless), otherwise=twice)(Item(n=11))
    assert await anext(outputs) == 11
    await outputs.aclose()
    assert closed == [True]


def takes_text(_: str) -> bool:
    return True


async def is_async(_: Item) -> bool:
    return True


def takes_three(_: Item, __: Context, ___: int) -> bool:
    return True


def takes_number(_: Item, __: int) -> bool:
    return True


class AsyncPredicate:
    async def __call__(self, _: Item) -> bool:
        return False


@pytest.mark.parametrize(
    ("predicate", "says"),
    [
        (is_async, r"when\(is_async, 'twice'\): the predicate is async or a generator"),
        (AsyncPredicate(), "the predicate is async or a generator; make it a plain function"),
        (takes_text, "the predicate takes str as '_', but the agent takes Item"),
        (takes_three, "a predicate takes a value, or a value and a Context"),
        (takes_number, "a predicate takes a value, or a value and a Context"),
        (lambda: True, "a predicate takes a value, or a value and a Context"),
    ],
)
def test_a_predicate_that_does_not_fit_is_refused(predicate: Any, says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        when(predicate, twice)


def test_a_predicate_that_would_have_to_be_awaited_is_not_taken_for_true() -> None:
    predicate: Any = lambda item: AsyncPredicate()(item)  # noqa: E731, PLW0108 - its kind is unseen
    chosen = choose(when(predicate, twice), otherwise=twice)
    with pytest.raises(TypeError, match="has to be awaited"):
        chosen(Item(n=1))


def test_what_a_predicate_says_may_be_true_in_another_way() -> None:
    predicate: Any = lambda item: item.tags  # noqa: E731 - short
    chosen = choose(when(predicate, named("tagged")), otherwise=named("bare"))
    assert [chosen(Item(n=1, tags=tags)) for tags in ([], ["a"])] == ["bare 1", "tagged 1"]


@agent
def as_bytes(item: Item) -> bytes:
    return b"%d" % item.n


@agent
def other(fixed: Fixed) -> int:
    return fixed.n


@pytest.mark.parametrize(
    ("cases", "otherwise", "says"),
    [
        ([], twice, "has no case"),
        ([twice], twice, r"takes cases; make each with when\(predicate, agent\)"),
        ([when(is_large, twice)], is_large, r"choose\(\) was given is_large; give agents"),
        ([when(is_large, as_bytes)], twice, "bytes and JSON cannot share a topic"),
        ([when(is_large, twice)], other, "'twice' takes Item, 'other' takes Fixed"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(cases: list[Any], otherwise: Any, says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        choose(*cases, otherwise=otherwise)
