"""Batch agents: what is taken, what is refused, and how one is called."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from streamapp.errors import EncodeError, Permanent, PipelineError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.agent_call import AgentCall
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.batch_call import FailedCall
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import when
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.signature import Results
from streamapp.pipeline.topology import build
from streamapp.serialisation import codec_for
from streamapp.topics.topic import Topic


@batch_agent(size=3, linger_seconds=0.5)
async def halved(values: list[int]) -> list[int | Exception]:
    """Halve numbers."""
    return [value // 2 if value % 2 == 0 else ValueError(f"odd: {value}") for value in values]


@agent
def same(value: int) -> int:
    return value


def call_of(made: Agent[Any, Any]) -> AgentCall:
    return AgentCall(
        made,
        stage_id="s",
        gives=codec_for(made.output_type),
        routes=(),
        max_outputs=10,
        threads=None,
    )


async def many(made: Agent[Any, Any], values: list[Any]) -> list[Any]:
    call = call_of(made)
    assert call.many is not None
    return await call.many(values, [Context(attempt=value) for value in values])


async def one(made: Agent[Any, Any], value: Any) -> Any:
    call = call_of(made)
    arguments = (value, Context()) if call.takes_context else (value,)
    result = call.function(*arguments)
    return await result if inspect.isawaitable(result) else result


def test_a_batch_agent_is_an_agent_of_its_items() -> None:
    assert (halved.input_type, halved.output_type) == (int, int)
    assert halved.batching == Batching(3, 0.5)
    assert (halved.name, halved.description) == ("halved", "Halve numbers.")
    assert same.batching is None


@pytest.mark.parametrize(
    ("returns", "output_type", "results"),
    [
        (list[int], int, Results()),
        (list[int | Exception], int, Results()),
        (list[int | ValueError | None], int, Results(none=True)),
        (list[list[int] | Exception], int, Results(many=True)),
        (list[Out[int] | Exception], int, Results(out=True)),
        (list[Out[int | None]], int | None, Results(out=True)),
        (None, type(None), Results(none=True)),
        (list[None], type(None), Results(none=True)),
    ],
)
def test_the_annotation_says_what_comes_of_one_item(
    returns: Any, output_type: Any, results: Results
) -> None:
    def function(values: Any) -> Any:
        return values

    function.__annotations__ = {"values": list[int], "return": returns}
    made: Agent[Any, Any] = batch_agent(size=2)(function)
    assert (made.output_type, made.results) == (output_type, results)


def with_one_context(values: list[int], _context: Context) -> list[int]:
    return values


def of_one_value(value: int) -> list[int]:
    return [value]


def to_one_value(values: list[int]) -> int:
    return values[0]


def yielding(values: list[int]) -> Iterator[int]:
    yield from values


def only_exceptions(_values: list[int]) -> list[Exception]:
    return []


def mixed(_values: list[int]) -> list[Out[int] | int]:
    return []


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (with_one_context, "each item of a batch has its own; annotate it list\\[Context\\]"),
        (of_one_value, "a batch agent takes a list; annotate it list\\[int\\]"),
        (to_one_value, "returns int, but a batch agent returns a list with one result for each"),
        (yielding, "a batch agent returns a list with one result for each"),
        (only_exceptions, "write list\\[None \\| Exception\\]"),
        (mixed, "return one or the other"),
        (lambda values: values, "parameter 'values' has no type"),
    ],
)
def test_a_function_that_is_none_of_batches_is_refused(function: Any, told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        batch_agent(size=2)(function)


def test_a_generator_without_annotations_is_refused() -> None:
    def yields(values: Any) -> Any:
        yield from values

    yields.__annotations__ = {}
    with pytest.raises(PipelineError, match="agent 'yields' yields its results"):
        batch_agent(size=2, input_type=int, output_type=int)(yields)


def test_an_async_function_is_not_blocking() -> None:
    with pytest.raises(PipelineError, match="is async and cannot be blocking"):
        batch_agent(size=2, blocking=True)(halved.function)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "10", None])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(PipelineError, match=r"batch_agent\(\): size=.*at least 1"):
        batch_agent(size=size)


@pytest.mark.parametrize("linger", [-0.1, float("nan"), float("inf"), 31, "1", None, True])
def test_a_linger_that_is_none_is_refused(linger: Any) -> None:
    with pytest.raises(PipelineError, match=r"\(name='n'\): linger_seconds=.*from 0 to 30"):
        batch_agent(size=1, linger_seconds=linger, name="n")


@pytest.mark.parametrize(
    "combine",
    [
        lambda: chain(same, halved),
        lambda: parallel(same, halved),
        lambda: pool(halved, capacity=1),
        lambda: fallback(same, halved),
        lambda: choose(when(lambda _: True, halved), otherwise=same),
    ],
)
def test_a_combinator_takes_no_batch_agent(combine: Any) -> None:
    with pytest.raises(PipelineError, match=r"batch agent 'halved'.*a stage of its own"):
        combine()


def test_a_fused_stage_works_on_no_batches() -> None:
    start = Pipeline("p", source=Topic("a", int)).stage(same)
    with pytest.raises(PipelineError, match=r"stage 'halved' is fused.*drop fused"):
        build(start.stage(halved, fused=True).sink("b"))


def test_a_batch_that_can_never_be_full_is_refused() -> None:
    start = Pipeline("p", source=Topic("a", int))
    with pytest.raises(PipelineError, match="set max_in_flight_records to at least 6"):
        build(start.stage(halved, max_in_flight_records=5).sink("b"))
    build(start.stage(halved, max_in_flight_records=6).sink("b"))


async def test_each_item_has_its_own_result() -> None:
    first, second, third = await many(halved, [4, 5, 6])
    assert (first, third) == (2, 3)
    assert isinstance(second, ValueError)


async def test_one_item_alone_raises_its_exception() -> None:
    assert await one(halved, 4) == 2
    with pytest.raises(ValueError, match="odd: 5"):
        await one(halved, 5)


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_plain_function_gets_values_and_contexts(blocking: bool) -> None:
    @batch_agent(size=3, blocking=blocking)
    def tried(values: list[int], contexts: list[Context]) -> list[int]:
        return [value * context.attempt for value, context in zip(values, contexts, strict=True)]

    assert await many(tried, [2, 3]) == [4, 9]
    assert await one(tried, 5) == 5


async def test_an_exception_that_is_no_exception_for_an_item_ends_no_process() -> None:
    @batch_agent(size=3)
    def interrupted(_values: list[int]) -> list[int]:
        return [KeyboardInterrupt()]  # type: ignore[list-item]  # on purpose

    with pytest.raises(RuntimeError, match="raised KeyboardInterrupt"):
        await one(interrupted, 1)


async def test_a_call_that_raises_has_failed_for_all() -> None:
    @batch_agent(size=3)
    async def never(_values: list[int]) -> list[int]:
        raise Permanent("never")

    results = await many(never, [1, 2])
    assert [(one.count, str(one.error)) for one in results] == [(2, "never")] * 2
    with pytest.raises(Permanent):
        await one(never, 1)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ([1], "gave 1 results for a batch of 2; return one for each item"),
        ([1, 2, 3], "gave 3 results for a batch of 2"),
        (None, "gave a value of type NoneType for a batch"),
        ({1: 1, 2: 2}, "gave a value of type dict for a batch"),
    ],
)
async def test_other_than_one_result_for_each_is_told(returned: Any, told: str) -> None:
    @batch_agent(size=3)
    def wrong(_values: list[int]) -> list[int]:
        return returned  # type: ignore[no-any-return]  # on purpose

    for result in await many(wrong, [1, 2]):
        assert isinstance(result, FailedCall)
        assert isinstance(result.error, EncodeError)
        assert told in str(result.error)


async def test_an_agent_without_outputs_may_return_none() -> None:
    stored: list[int] = []

    @batch_agent(size=3)
    async def store(values: list[int]) -> None:
        stored.extend(values)

    assert await many(store, [1, 2]) == [None, None]
    assert await one(store, 3) is None
    assert stored == [1, 2, 3]


async def test_a_cancelled_call_is_no_result() -> None:
    @batch_agent(size=3)
    async def cancelled(_values: list[int]) -> list[int]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await many(cancelled, [1])


async def test_in_process_each_item_is_a_batch_of_one() -> None:
    pipeline = Pipeline("p", source=Topic("a", int)).stage(halved)
    sizes: list[int] = []

    @batch_agent(size=3)
    async def counted(values: list[int]) -> list[int]:
        sizes.append(len(values))
        return values

    assert (await pipeline.execute(4)).output == 2
    failed = await pipeline.execute(5)
    assert [letter.error.stage_id for letter in failed.dead_letters] == ["halved"]
    counting = Pipeline("p", source=Topic("a", int)).stage(counted)
    assert [result.output async for result in counting.execute_many([1, 2, 3])] == [1, 2, 3]
    assert sizes == [1, 1, 1]


@pytest.mark.parametrize(
    ("given", "told"), [(lambda: halved.function, "halved"), (lambda: 100, "100")]
)
def test_the_decorator_without_a_size_is_told(given: Any, told: str) -> None:
    sentence = rf"^batch_agent was given {told}; give it the size .* @batch_agent\(size=100\)$"
    with pytest.raises(PipelineError, match=sentence):
        batch_agent(given())


def test_an_agent_is_made_no_batch_agent() -> None:
    with pytest.raises(PipelineError, match=r"^agent 'halved' is already an agent;"):
        batch_agent(size=2)(halved)
