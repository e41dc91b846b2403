"""`parallel(…).join(…)`: one input for all, one join, and no task that outlives its attempt."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from streamapp.errors import EncodeError, Permanent, PipelineError
from streamapp.pipeline.agent import Agent, agent, walk
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Results, Shape
from tests.unit.pipeline.parts import Fixed, Item, failing, odd, text, twice, up_to
from tests.unit.runtime.virtual import in_virtual_time


def both(item: Item, two: int, name: str) -> str:
    return f"{item.n} {two} {name}"


def only_input(item: Item, _: object) -> Item:
    return item


def other_tasks() -> set["asyncio.Task[Any]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_the_join_gets_the_input_and_every_output_in_order() -> None:
    joined = parallel(twice, text).join(both)
    assert (joined.name, joined.kind, joined.parts) == ("both", "parallel", (twice, text))
    assert (joined.input_type, joined.output_type, joined.shape) == (Item, str, Shape.ASYNC)
    assert await joined(Item(n=3)) == "3 6 3"


def test_branches_that_never_wait_make_a_plain_agent() -> None:
    joined = parallel(twice, twice).join(lambda item, a, b: item.n + a + b, output_type=int)
    assert (joined.shape, joined.is_async, joined.name) == (Shape.PLAIN, False, "twice-and-twice")
    assert joined(Item(n=1)) == 5


async def test_where_only_one_branch_waits_it_comes_last_and_needs_no_task() -> None:
    began: list[str] = []

    @agent
    async def waits(value: int) -> str:
        began.append("waits")
        assert asyncio.current_task() is this_task
        return f"waits {value}"

    @agent
    def plain(value: int) -> int:
        began.append("plain")
        if value < 0:
            raise ValueError("negative")
        return value

    this_task = asyncio.current_task()
    joined = parallel(waits, plain).join(lambda value, a, b: (value, a, b), output_type=Any)
    assert await joined(3) == (3, "waits 3", 3)
    assert began == ["plain", "waits"]
    with pytest.raises(ValueError, match="negative"):
        await joined(-3)
    assert began == ["plain", "waits", "plain"]


async def test_a_join_may_be_async_where_no_branch_is() -> None:
    async def later(item: Item, two: int) -> int | None:
        await asyncio.sleep(0)
        return item.n + two

    joined = parallel(twice).join(later)
    assert joined.results == Results(none=True)
    assert await joined(Item(n=1)) == 3


def never_joined(item: Item, *outputs: object) -> str:
    raise AssertionError(item, outputs)


class Gates:
    """Branches that end when they are told to, and what the join was called with."""

    def __init__(self, count: int) -> None:
        self.gates = [asyncio.Event() for _ in range(count)]
        self.ended: list[int] = []
        self.joins: list[tuple[Any, ...]] = []

    def branch(self, i: int) -> Agent[Item, int]:
        @agent(name=f"gate-{i}")
        async def gate(item: Item) -> int:
            await self.gates[i].wait()
            self.ended.append(i)
            return item.n + i

        return gate

    def join(self, item: Item, *outputs: int) -> None:
        self.joins.append((item, *outputs))


@given(st.integers(1, 4).flatmap(lambda count: st.permutations(range(count))))
def test_whatever_the_order_of_completion_the_join_is_called_once(order: Sequence[int]) -> None:
    asyncio.run(complete_in(order))


def test_every_order_of_completion_of_up_to_four_branches() -> None:
    async def complete_in_all() -> None:
        for count in range(1, 5):
            for order in permutations(range(count)):
                await complete_in(order)

    asyncio.run(complete_in_all())


async def complete_in(order: Sequence[int]) -> None:
    gates = Gates(len(order))
    branches: Any = parallel(*(gates.branch(i) for i in range(len(order))))
    joined = branches.join(gates.join, output_type=int)
    running = asyncio.ensure_future(joined(Item(n=10)))
    for i in order:
        assert not gates.joins
        await settled()
        gates.gates[i].set()
    await running
    assert gates.ended == list(order)
    assert gates.joins == [(Item(n=10), *(10 + i for i in range(len(order))))]
    assert not other_tasks()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_branch_sees_what_another_does_to_its_input() -> None:
    @agent
    async def spoil(item: Item) -> str:
        item.tags.append("spoilt")
        await asyncio.sleep(0)
        return ",".join(item.tags)

    def tags(item: Item, *seen: str) -> str:
        return "|".join([",".join(item.tags), *seen])

    joined = parallel(spoil, spoil).join(tags)
    assert await joined(Item(n=1, tags=["own"])) == "own|own,spoilt|own,spoilt"


def test_a_value_that_nothing_can_change_is_shared() -> None:
    seen: list[Fixed] = []

    @agent
    def look(value: Fixed) -> int:
        seen.append(value)
        return value.n

    def add(value: Fixed, a: int, b: int) -> int:
        seen.append(value)
        return a + b

    assert parallel(look, look).join(add)(value := Fixed(n=2)) == 4
    assert all(one is value for one in seen)


def test_what_is_not_written_to_json_is_in_every_copy() -> None:
    class Noted(Item):
        """A value with a field that is read and never written."""

        note: str = Field(default="", exclude=True)

    @agent
    def length(noted: Noted) -> int:
        return len(noted.note)

    joined = parallel(length).join(lambda _, found: found, output_type=int)
    assert joined(Noted(n=1, note="word")) == 4


@in_virtual_time
async def test_a_failure_cancels_the_others_and_is_raised_as_it_is() -> None:
    cleaned: list[str] = []
    error = OSError("away")

    @agent
    async def slow(item: Item) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            cleaned.append("slow")
        return str(item.n)

    @agent
    async def fail(_: Item) -> str:
        await asyncio.sleep(1)
        raise error

    joined = parallel(slow, fail).join(never_joined)
    with pytest.raises(OSError, match="away") as raised:
        await joined(Item(n=1))
    assert raised.value is error
    assert cleaned == ["slow"]
    assert not other_tasks()


@in_virtual_time
async def test_of_failures_at_once_the_gravest_is_raised() -> None:
    @agent
    async def world(_: Item) -> str:
        raise OSError

    @agent
    async def record(_: Item) -> str:
        raise Permanent("no such title")

    joined = parallel(world, record, world).join(lambda *_: "", output_type=str)
    with pytest.raises(Permanent, match="no such title"):
        await joined(Item(n=1))


@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError()])
async def test_what_no_task_survives_is_the_failure_of_a_branch(raised: BaseException) -> None:
    @agent
    async def raises(_: Item) -> str:
        raise raised

    joined = parallel(raises, text).join(lambda *_: "", output_type=str)
    with pytest.raises(RuntimeError, match=r"raised SystemExit|'raises' cancelled itself"):
        await joined(Item(n=1))


class Stubborn:
    """A branch that goes on as often as it is told to, although it was cancelled."""

    def __init__(self, ignores: int) -> None:
        self.cancels = 0
        self._ignores = ignores

    async def __call__(self, item: Item) -> str:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > self._ignores:
                    raise
            else:
                return str(item.n)


@pytest.mark.parametrize("ignores", [0, 1, 3])
def test_cancelling_the_attempt_leaves_no_branch_running(ignores: int) -> None:
    @in_virtual_time
    async def cancel() -> None:
        stubborn = Stubborn(ignores)
        joined = parallel(agent(stubborn), text).join(lambda *_: "", output_type=str)
        attempt = asyncio.ensure_future(joined(Item(n=1)))
        await asyncio.sleep(1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert stubborn.cancels == ignores + 1
        assert not other_tasks()

    cancel()


@in_virtual_time
async def test_a_cancellation_that_is_repeated_reaches_the_branches() -> None:
    stubborn = Stubborn(1)
    joined = parallel(agent(stubborn)).join(lambda *_: "", output_type=str)
    attempt = asyncio.ensure_future(joined(Item(n=1)))
    await asyncio.sleep(1)
    attempt.cancel()
    await asyncio.sleep(0.1)
    attempt.cancel()
    await asyncio.sleep(0.1)
    assert attempt.cancelled()
    assert not other_tasks()


@in_virtual_time
async def test_an_attempt_that_is_cancelled_while_a_failure_cancels_the_others_is_cancelled() -> (
    None
):
    stubborn = Stubborn(1)
    joined = parallel(agent(stubborn), _later(failing(OSError()))).join(
        lambda *_: "", output_type=str
    )
    attempt = asyncio.ensure_future(joined(Item(n=1)))
    await asyncio.sleep(1)  # the failure has come, and the first cancellation was ignored
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert not other_tasks()


def _later(made: Agent[Item, Item]) -> Agent[Item, Item]:
    @agent
    async def later(item: Item) -> Item:
        await asyncio.sleep(0.5)
        return made.function(item)  # type: ignore[no-any-return]  # an agent's function is any

    return later


async def test_a_blocking_branch_runs_beside_the_others() -> None:
    @agent(blocking=True)
    def blocks(item: Item) -> int:
        with pytest.raises(RuntimeError):  # no event loop runs in this thread
            asyncio.get_running_loop()
        return item.n

    joined = parallel(blocks, text).join(both)
    assert await joined(Item(n=4)) == "4 4 4"


async def test_a_branch_gets_the_context_if_it_takes_one() -> None:
    @agent
    async def attempt(_: Item, context: Context) -> int:
        return context.attempt

    joined = parallel(attempt, text).join(both)
    assert joined.takes_context
    assert not parallel(twice, text).join(both).takes_context
    context = Context("p", "s", attempt=7)
    assert await joined(Item(n=1), context) == "1 7 1"


def test_combinations_combine_and_can_be_walked() -> None:
    inner = parallel(twice, twice).join(lambda _, a, b: a + b, output_type=int, name="inner")
    outer = parallel(inner, twice).join(lambda _, a, b: (a, b), output_type=tuple, name="outer")
    assert outer(Item(n=1)) == (4, 2)
    assert [one.name for one in walk(outer)] == ["outer", "inner", "twice", "twice", "twice"]


@agent
def none_at_all(_: Item) -> None: ...


@agent
def as_out(item: Item) -> Out[int]:
    return Out(item.n)


@agent
def lazily(item: Item) -> Iterator[int]:
    yield item.n


@agent
async def lazily_async(item: Item) -> AsyncIterator[int]:
    yield item.n


@agent
def other_input(value: str) -> int:
    return len(value)


@pytest.mark.parametrize(
    ("agents", "says"),
    [
        ([odd], r"'odd' cannot be a branch: it may give no output; .* `if_none` of a branch"),
        ([up_to], "'up-to' cannot be a branch: it may give several outputs"),
        ([lazily], "may give several outputs.*or let it follow the join in a chain"),
        ([lazily_async], "may give several outputs"),
        ([none_at_all], "gives no outputs; make it a stage of its own"),
        ([as_out], "gives Out, but its key, headers or route would be lost"),
        ([chain(up_to, twice)], "may give several outputs"),
        ([twice, other_input], "same input, but 'twice' takes Item, 'other-input' takes str"),
        ([], "has no branch"),
        ([len], r"parallel\(\) was given len; give agents, made with @agent"),
    ],
)
def test_what_cannot_be_a_branch_is_refused(agents: list[Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        parallel(*agents)


def takes_text(item: Item, two: str) -> str:
    return two * item.n


def gives_many(item: Item, two: int) -> list[int]:
    return [item.n, two]


def takes_other_input(item: str, two: int) -> str:
    return item * two


@pytest.mark.parametrize(
    ("join", "says"),
    [
        (takes_text, "takes_text takes str as 'two', but branch 'twice' gives int"),
        (takes_other_input, "takes str as 'item', but the input is Item"),
        (both, "takes the input and one output of each branch, that is 2 parameters"),
        (gives_many, r"gives several outputs.*chain\(parallel\(…\)\.join\(…\), agent\)"),
        (lambda _, two: two, "has no return type; annotate it or give output_type=…"),
        (3, "was given 3; give it a function"),
    ],
)
def test_a_join_that_does_not_fit_is_refused(join: Any, says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        parallel(twice).join(join)


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (None, "agent 'given' gave None, where one value is needed"),
        ([1], "gave a list, where one value is needed"),
        (Out(1), "gave an Out, where one value is needed"),
        ("1", "gave a value of type str, and is declared to give int"),
    ],
)
def test_a_result_that_is_not_what_was_declared_is_refused(gives: Any, says: str) -> None:
    given_: Agent[Any, Any]
    given_ = agent(name="given", input_type=Item, output_type=int)(lambda _: gives)
    joined = parallel(given_).join(lambda _, one: one, output_type=int)
    with pytest.raises(EncodeError, match=says):
        joined(Item(n=1))


def test_a_join_that_gives_a_list_undeclared_is_refused() -> None:
    joined = parallel(twice).join(lambda _, one: [one], output_type=int)
    with pytest.raises(EncodeError, match="a join gave a list, and one output is all"):
        joined(Item(n=1))


async def test_a_group_of_errors_that_a_branch_raises_is_left_to_the_policy_of_the_stage() -> None:
    group = ExceptionGroup("of the branch", [OSError(), KeyError()])
    joined = parallel(_later(failing(group)), text).join(never_joined)
    with pytest.raises(ExceptionGroup) as raised:
        await joined(Item(n=1))
    assert raised.value is group


def test_the_input_is_the_narrowest_that_all_branches_take() -> None:
    @agent
    def anything(value: Any) -> str:
        return type(value).__name__

    joined = parallel(anything, twice).join(lambda _, a, b: f"{a} {b}", output_type=str)
    assert joined.input_type is Item
    assert joined(Item(n=1)) == "Item 2"


def test_no_branch_is_called_twice() -> None:
    calls: Counter[str] = Counter()

    @agent
    def count(item: Item) -> int:
        calls["count"] += 1
        return item.n

    def add(item: Item, one: int) -> int:
        calls["join"] += 1
        return item.n + one

    assert parallel(count).join(add)(Item(n=1)) == 2
    assert calls == {"count": 1, "join": 1}
