"""`branch(…)`: a timeout, retries and defaults of its own, all on the current clock."""

import asyncio
import logging
from typing import Any

import pytest

from streamapp.clock import clock_in_use
from streamapp.errors import EncodeError, Permanent, PipelineError
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.out import Out
from streamapp.pipeline.signature import Results, Shape
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, drop, retry, retry_later, stop
from streamapp.randomness import random_in_use
from tests.hand_clock import HandClock
from tests.unit.pipeline.parts import Item, odd, text, twice
from tests.unit.runtime.virtual import Longest, in_virtual_time


class Flaky:
    """Fails as often as it is told to, and spoils its input each time."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self._errors = errors

    async def __call__(self, item: Item) -> str:
        self.calls += 1
        item.tags.append("spoilt")
        if self.calls <= len(self._errors):
            raise self._errors[self.calls - 1]
        return ",".join(item.tags)


async def test_retries_wait_on_the_current_clock_and_get_the_input_unchanged() -> None:
    clock, flaky = HandClock(monotonic=0), Flaky(OSError(), OSError())
    tried = branch(agent(flaky), retry=retry(2, backoff=Backoff(base_seconds=10)))
    with clock_in_use(clock), random_in_use(Longest()):
        assert await tried(Item(n=1)) == "spoilt"
    assert flaky.calls == 3
    assert clock.monotonic() == 10 + 20


async def test_when_the_retries_are_used_up_the_last_failure_is_raised_as_it_is() -> None:
    errors = [OSError("first"), OSError("second")]
    tried = branch(agent(Flaky(*errors)), retry=retry(1, backoff=Backoff(0)))
    with pytest.raises(OSError, match="second") as raised:
        await tried(Item(n=1))
    assert raised.value is errors[1]


async def test_what_is_the_records_fault_is_not_retried() -> None:
    flaky = Flaky(Permanent("no such title"))
    with pytest.raises(Permanent):
        await branch(agent(flaky), retry=retry(5))(Item(n=1))
    assert flaky.calls == 1


async def test_a_rule_for_an_exception_counts_of_a_group_too() -> None:
    flaky = Flaky(ExceptionGroup("both", [OSError(), KeyError("k")]), KeyError("k"))
    policy = retry(0, backoff=Backoff(0)).on({KeyError: retry(1, backoff=Backoff(0))})
    with pytest.raises(KeyError):
        await branch(agent(flaky), retry=policy)(Item(n=1))
    assert flaky.calls == 2


async def test_a_rule_with_more_retries_gets_the_input_unchanged_too() -> None:
    policy = retry(0, backoff=Backoff(0)).on({OSError: retry(2, backoff=Backoff(0))})
    assert await branch(agent(Flaky(OSError(), OSError())), retry=policy)(Item(n=1)) == "spoilt"


async def test_a_plain_agent_is_retried_too() -> None:
    calls = 0

    @agent
    def second_time(item: Item) -> int:
        nonlocal calls
        calls += 1
        return item.n // (calls - 1)

    tried = branch(second_time, retry=retry(1, backoff=Backoff(0)))
    assert tried.shape is Shape.ASYNC
    assert await tried(Item(n=4)) == 4


@in_virtual_time
async def test_a_call_that_takes_too_long_is_cancelled_and_has_ended() -> None:
    ended: list[float] = []
    now = asyncio.get_running_loop().time

    @agent
    async def slow(item: Item) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            ended.append(now())
        return item.n

    began = now()
    with pytest.raises(TimeoutError, match=r"'slow' took longer than 2\.5 s"):
        await branch(slow, timeout_seconds=2.5)(Item(n=1))
    assert [at - began for at in ended] == [pytest.approx(3.5)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_call_in_time_leaves_no_timer_behind() -> None:
    assert await branch(text, timeout_seconds=60)(Item(n=1)) == "1"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_each_try_has_the_whole_time() -> None:
    waits = iter((3.0, 3.0, 1.0))

    @agent
    async def slow(item: Item) -> int:
        await asyncio.sleep(next(waits))
        return item.n

    tried = branch(slow, timeout_seconds=2, retry=retry(2, backoff=Backoff(0)))
    assert await tried(Item(n=5)) == 5


@in_virtual_time
async def test_a_branch_that_is_cancelled_is_not_tried_again_and_gives_no_default() -> None:
    calls = 0

    @agent
    async def catches(item: Item) -> int:
        nonlocal calls
        calls += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("was cancelled") from None
        return item.n

    tried = asyncio.ensure_future(branch(catches, retry=retry(3), default=0)(Item(n=1)))
    await asyncio.sleep(1)
    tried.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tried
    assert calls == 1


@in_virtual_time
async def test_a_cancelled_branch_with_a_timeout_leaves_no_task() -> None:
    @agent
    async def slow(item: Item) -> int:
        await asyncio.sleep(60)
        return item.n

    tried = asyncio.ensure_future(branch(slow, timeout_seconds=30)(Item(n=1)))
    await asyncio.sleep(1)
    tried.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tried
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_default_is_given_for_a_failure_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    default = Item(n=0)
    tried = branch(agent(Flaky(OSError("secret"), OSError("secret"))), default=default)
    assert tried.output_type == str | Item
    with caplog.at_level(logging.WARNING):
        first, second = await tried(Item(n=1)), await tried(Item(n=1))
    assert first == second == default
    assert first is not second is not default  # a join may change it
    assert await tried(Item(n=1)) == "spoilt"
    told = "branch 'flaky': agent 'flaky' fails with OSError; its default is given instead"
    assert caplog.messages == [told]


async def test_a_default_of_none_reaches_the_join() -> None:
    tried = branch(agent(Flaky(OSError())), default=None)
    joined = parallel(tried, text).join(lambda _, a, b: (a, b), output_type=tuple)
    assert await joined(Item(n=1)) == (None, "1")


def test_what_an_agent_gives_that_may_give_none() -> None:
    always = branch(odd, if_none=0)
    assert (always.results, always.output_type) == (Results(), Item | int)
    assert (always(Item(n=3)), always(Item(n=2))) == (Item(n=3), 0)
    assert branch(odd).results == Results(none=True)


def test_if_none_may_be_none() -> None:
    def had(_: Item, found: Item | None) -> str:
        return f"found {found and found.n}"

    joined = parallel(branch(odd, if_none=None)).join(had)
    assert (joined(Item(n=3)), joined(Item(n=2))) == ("found 3", "found None")


def test_a_branch_is_an_agent_like_any_other() -> None:
    made = branch(twice, default=1, name="doubled")
    assert (made.name, made.kind, made.parts, made.shape) == (
        "doubled",
        "branch",
        (twice,),
        Shape.PLAIN,
    )
    assert (made(Item(n=2)), made.output_type) == (4, int)


def test_an_output_of_another_type_than_declared_is_no_output() -> None:
    wrong: Agent[Any, Any] = agent(input_type=Item, output_type=int)(lambda _: "text")
    with pytest.raises(EncodeError, match="gave a value of type str, and is declared to give int"):
        branch(wrong)(Item(n=1))
    assert branch(wrong, default=3)(Item(n=1)) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"timeout_seconds": 0}, "'text': timeout_seconds is 0; give a number above zero"),
        ({"timeout_seconds": "2"}, "timeout_seconds is '2'"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds is nan"),
        ({"retry": 3}, r"retry is 3; give a policy, such as retry\(3\)"),
        ({"retry": stop()}, "can only be retried; drop `then`"),
        ({"retry": retry(3, then=drop())}, "can only be retried; drop `then`"),
        ({"retry": retry(3).on({KeyError: drop()})}, "can only be retried"),
        ({"retry": retry_later([10])}, "a branch cannot retry later"),
        ({"retry": retry(3).on({KeyError: retry_later([1])})}, "a branch cannot retry later"),
        ({"default": [1]}, "default has to be one bare value; put it into a model"),
        ({"default": Out(1)}, "default has to be one bare value"),
        ({"if_none": 1}, "if_none has no effect, since 'text' always gives an output"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        branch(text, **settings)


def test_no_timeout_is_promised_for_a_plain_function() -> None:
    with pytest.raises(PipelineError, match="no timeout can interrupt a plain function"):
        branch(twice, timeout_seconds=1)


def test_a_policy_that_only_retries_is_taken() -> None:
    policy: Policy = retry(1).on({KeyError: retry(0)})
    assert branch(text, retry=policy).is_async
