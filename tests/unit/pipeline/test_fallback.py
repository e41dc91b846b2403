"""`fallback(…)`: the next agent takes over, with the input as it came."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from streamapp.errors import Permanent, PipelineError, TooManyOutputsError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.part import MOST_COLLECTED_OUTPUTS
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Results, Shape
from tests.unit.pipeline.parts import Fixed, Item, failing, odd, twice, up_to
from tests.unit.runtime.virtual import in_virtual_time


@agent
def same(item: Item) -> Item:
    return item


@agent
async def later(item: Item) -> Item:
    await asyncio.sleep(0)
    return item


@pytest.mark.parametrize(
    "error", [OSError("away"), Permanent("no"), ValueError(), SystemExit(1), StopIteration()]
)
def test_every_failure_moves_on_with_the_input_unchanged(error: BaseException) -> None:
    made = fallback(failing(error), failing(OSError(), "second"), same)
    assert made(Item(n=1)) == Item(n=1)
    assert (made.shape, made.kind, made.name) == (
        Shape.PLAIN, "fallback", "failing-else-second-else-same",
    )  # fmt: skip


async def test_one_async_agent_makes_it_async() -> None:
    made = fallback(failing(OSError()), later)
    assert made.shape is Shape.ASYNC
    assert await made(Item(n=1)) == Item(n=1)


def test_the_first_that_works_is_the_last_that_is_called() -> None:
    assert fallback(same, failing(OSError()))(Item(n=1)) == Item(n=1)


def test_if_all_fail_the_last_error_tells_of_the_others() -> None:
    last = OSError("third")
    made = fallback(
        failing(ValueError("first"), "a"), failing(KeyError("second"), "b"), failing(last, "c"),
        name="all",
    )  # fmt: skip
    for _ in range(3):  # the same object is raised each time, and collects no notes
        with pytest.raises(OSError, match="third") as raised:
            made(Item(n=1))
        assert raised.value is last
        assert last.__notes__ == [
            "fallback 'all': before that, 'a' failed with ValueError: first",
            "fallback 'all': before that, 'b' failed with KeyError: 'second'",
        ]


def test_a_failure_that_another_makes_good_for_is_told_once_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = fallback(failing(OSError("secret"), "a"), same, name="f")
    with caplog.at_level(logging.WARNING):
        made(Item(n=1))
        made(Item(n=2))
    assert caplog.messages == ["fallback 'f': agent 'a' fails with OSError; another agent answers"]


def test_outputs_of_an_agent_that_fails_later_do_not_count() -> None:
    @agent
    def breaks(item: Item) -> Iterator[Item]:
        yield item
        raise OSError

    made = fallback(breaks, up_to)
    assert made.results == Results(many=True)
    assert made(Item(n=2)) == [Item(n=0), Item(n=1)]


def test_what_a_generator_does_to_what_it_has_yielded_is_not_seen() -> None:
    @agent
    def reuses(item: Item) -> Iterator[Item]:
        for i in range(3):
            item.n = i
            yield item

    assert fallback(reuses, same)(Item(n=9)) == [Item(n=0), Item(n=1), Item(n=2)]


def endless(item: Item) -> Iterator[Item]:
    while True:
        yield item


async def endless_async(item: Item) -> AsyncIterator[Item]:
    while True:
        yield item


@pytest.mark.parametrize(
    "generator", [agent(endless), agent(endless_async), agent(blocking=True)(endless)]
)
async def test_a_generator_without_end_is_not_collected(generator: Agent[Item, Item]) -> None:
    made = fallback(failing(OSError()), generator, later)
    assert made.is_async
    assert await made(Item(n=1)) == Item(n=1)
    made = fallback(later, generator)
    with pytest.raises(TooManyOutputsError, match=f"more than {MOST_COLLECTED_OUTPUTS} outputs"):
        await fallback(failing(OSError()), chain(later, generator))(Item(n=1))


async def test_outputs_of_a_blocking_generator_come_from_its_thread() -> None:
    @agent(blocking=True)
    def two(item: Item) -> Iterator[Item]:
        yield item
        yield item

    assert await fallback(two, same)(Item(n=1)) == [Item(n=1), Item(n=1)]


@pytest.mark.parametrize("gives", ["text", ["text"], Out("text")])
def test_an_output_of_another_type_is_a_failure_too(gives: Any) -> None:
    wrong: Agent[Any, Any] = agent(input_type=Item, output_type=Item)(lambda _: gives)
    assert fallback(wrong, same)(Item(n=1)) == Item(n=1)


def test_none_is_a_result_and_no_failure() -> None:
    made = fallback(odd, same)
    assert made.results == Results(none=True)
    assert made(Item(n=2)) is None


@in_virtual_time
async def test_cancellation_does_not_move_on_even_if_it_is_caught() -> None:
    @agent
    async def catches(item: Item) -> Item:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("was cancelled") from None
        return item

    @agent
    async def waits(item: Item) -> Item:
        await asyncio.sleep(60)
        return item

    for first in (catches, waits):
        attempt = asyncio.ensure_future(fallback(first, same)(Item(n=1)))
        await asyncio.sleep(1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt


@in_virtual_time
async def test_after_an_earlier_cancellation_of_its_task_it_still_moves_on() -> None:
    async def cleans_up() -> Item:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return await fallback(failing(OSError()), later)(Item(n=1))  # type: ignore[no-any-return]  # an agent is called like its function
        raise AssertionError

    task = asyncio.ensure_future(cleans_up())
    await asyncio.sleep(1)
    task.cancel()
    assert await task == Item(n=1)


async def test_an_agent_that_cancels_itself_has_failed() -> None:
    made = fallback(failing(asyncio.CancelledError()), later)
    assert await made(Item(n=1)) == Item(n=1)


def test_every_agent_gets_the_context_if_it_takes_one() -> None:
    @agent
    def attempt(_: Item, context: Context) -> Item:
        return Item(n=context.attempt)

    made = fallback(failing(OSError()), attempt)
    context = Context("p", "s", attempt=7)
    assert made.takes_context
    assert made(Item(n=1), context) == Item(n=7)


def test_a_fallback_within_a_fallback_within_a_chain() -> None:
    inner = fallback(failing(OSError(), "a"), failing(OSError(), "b"))
    assert chain(fallback(inner, same), twice)(Item(n=4)) == 8


@agent
def other_input(fixed: Fixed) -> Item:
    return Item(n=fixed.n)


@pytest.mark.parametrize(
    ("agents", "says"),
    [
        ([same, same], r"'same' cannot take over from itself.*make it a branch with retries"),
        ([same, later, same], "'same' cannot take over from itself"),
        ([same, twice], "agent 'twice' gives int, but 'same' gives Item"),
        ([same, other_input], "'same' takes Item, 'other-input' takes Fixed"),
        ([same, 3], r"fallback\(\) was given a value of type int; give agents"),
    ],
)
def test_members_that_do_not_fit_are_refused(agents: list[Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        fallback(*agents)
