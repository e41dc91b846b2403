"""`pool(…)`: members share the work, none has too much, and what fails moves on."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import AllMembersOpenError, Permanent, PipelineError
from streamapp.observability.stage_metrics import BreakerState
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branch import branch
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.pool import pool, pools_of
from streamapp.pipeline.combinators.pool_queue import PoolQueue
from streamapp.pipeline.context import Context
from streamapp.pipeline.signature import Results, Shape
from streamapp.policies.balance import Balance, Call
from streamapp.policies.breaker import Breaker
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.member import Member, MemberConfig
from tests.unit.pipeline.parts import Fixed, Item, failing, odd, text, twice
from tests.unit.runtime.virtual import loop, on_virtual_clock

FRAGILE = BreakerConfig(consecutive_failures=1, first_probe_seconds=1, longest_probe_seconds=1)


class Server:
    """A member that can be slow or down, and counts its calls."""

    def __init__(self, name: str, seconds: float = 1.0) -> None:
        self.name = name
        self.seconds = seconds
        self.error: BaseException | None = None
        self.active = self.most_active = self.ended = 0
        self.begun: list[tuple[float, int]] = []

    @property
    def agent(self) -> Agent[Item, Item]:
        @agent(name=self.name)
        async def serve(item: Item) -> Item:
            self.begun.append((loop().time(), item.n))
            self.active += 1
            self.most_active = max(self.most_active, self.active)
            try:
                await asyncio.sleep(self.seconds)
                if self.error is not None:
                    item.tags.append("spoilt")
                    raise self.error
            finally:
                self.active -= 1
                self.ended += 1
            return item

        return serve

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.begun]


async def call_all(made: Agent[Item, Item], numbers: range) -> list[Any]:
    """What came of a call for each number, all at once."""
    return await asyncio.gather(
        *(made(Item(n=number)) for number in numbers), return_exceptions=True
    )


def states(made: Agent[Any, Any]) -> dict[str, Any]:
    (found,) = pools_of(made)
    return {state.name: state for state in found.states()}


@on_virtual_clock
async def test_members_share_the_work_by_their_capacity_and_never_exceed_it() -> None:
    small, large = Server("small"), Server("large")
    made = pool(small.agent, large.agent, capacity=(2, 8))
    assert (made.kind, made.shape, made.name) == ("pool", Shape.ASYNC, "small-or-large")
    assert [part.name for part in made.parts] == ["small", "large"]
    assert await call_all(made, range(40)) == [Item(n=n) for n in range(40)]
    assert (small.most_active, large.most_active) == (2, 8)
    assert (len(small.begun), len(large.begun)) == (8, 32)
    assert loop().time() == pytest.approx(4)


@on_virtual_clock
async def test_calls_that_wait_begin_in_the_order_in_which_they_came() -> None:
    small, large = Server("small", 0.7), Server("large", 1.1)
    await call_all(pool(small.agent, large.agent, capacity=1), range(20))
    assert [n for _, n in sorted(small.begun + large.begun)] == list(range(20))


@on_virtual_clock
async def test_waiting_takes_no_turns_of_the_event_loop() -> None:
    server = Server("server", 3600)
    made = pool(server.agent, capacity=1)
    waiting = [asyncio.ensure_future(made(Item(n=n))) for n in range(3)]
    await asyncio.sleep(1)
    before = loop().turns
    await asyncio.sleep(3000)
    assert loop().turns - before < 5
    await asyncio.gather(*waiting)


@on_virtual_clock
async def test_a_heavier_member_gets_more() -> None:
    a, b = Server("a"), Server("b")
    made = pool(a.agent, b.agent, capacity=10, weights=(1, 4))
    await call_all(made, range(10))
    assert (len(a.begun), len(b.begun)) == (2, 8)


@on_virtual_clock
async def test_limits_a_minute_let_calls_wait_until_they_allow_more() -> None:
    a, b = Server("a", 0.1), Server("b", 0.1)
    made = pool(a.agent, b.agent, capacity=10, calls_per_minute=(3, None))
    await call_all(made, range(6))
    assert len(a.begun) == 3
    made = pool(a.agent, capacity=10, calls_per_minute=3, name="alone")
    a.begun.clear()
    start = loop().time()
    await call_all(made, range(7))
    assert [round(time - start) for time in a.times] == [0, 0, 0, 60, 60, 60, 120]


@on_virtual_clock
async def test_when_the_first_that_waits_is_cancelled_the_next_minds_the_time() -> None:
    server = Server("server", 0.1)
    made = pool(server.agent, capacity=9, calls_per_minute=1)
    await made(Item(n=0))
    first, second = (asyncio.ensure_future(made(Item(n=n))) for n in (1, 2))
    await asyncio.sleep(1)
    first.cancel()
    await second
    assert server.begun[1][1] == 2
    assert server.times[1] == pytest.approx(60)


@on_virtual_clock
async def test_who_comes_when_a_limit_allows_more_does_not_overtake_who_waits_for_it() -> None:
    server = Server("server", 0.1)
    made = pool(server.agent, capacity=9, calls_per_minute=1)
    await made(Item(n=0))
    waiting = asyncio.ensure_future(made(Item(n=1)))
    await asyncio.sleep(1)
    loop().burn(60)  # the timer of the one that waits could not run
    await made(Item(n=2))
    await waiting
    assert [n for _, n in server.begun] == [0, 1, 2]


@on_virtual_clock
async def test_who_waits_for_a_limit_takes_a_probe_that_is_due_before() -> None:
    limited, other = Server("limited", 0.1), Server("other", 0.5)
    other.error = OSError()
    made = pool(limited.agent, other.agent, capacity=1, calls_per_minute=(1, None), breaker=FRAGILE)
    await made(Item(n=0))
    first = asyncio.ensure_future(made(Item(n=1)))
    second = asyncio.ensure_future(made(Item(n=2)))
    await asyncio.sleep(0.6)
    other.error = None
    assert await second == Item(n=2)
    assert loop().time() < 3
    await first


@on_virtual_clock
async def test_who_has_tried_all_that_could_be_called_fails_although_others_wait() -> None:
    limited, other = Server("limited", 1), Server("other", 2)
    limited.error, other.error = ValueError("first"), OSError("second")
    made = pool(
        limited.agent, other.agent,
        capacity=1, weights=(1, 9), calls_per_minute=(1, None), breaker=FRAGILE,
    )  # fmt: skip
    at_other = asyncio.ensure_future(made(Item(n=0)))
    at_limited = asyncio.ensure_future(made(Item(n=1)))
    await asyncio.sleep(0.5)
    waits = asyncio.ensure_future(made(Item(n=2)))
    with pytest.raises(ValueError, match="first"):
        await at_limited
    assert loop().time() == pytest.approx(2)
    limited.error = other.error = None
    assert list(await asyncio.gather(at_other, waits)) == [Item(n=0), Item(n=2)]


@pytest.mark.parametrize("error", [OSError("away"), ValueError("unknown"), SystemExit(1)])
@on_virtual_clock
async def test_a_failing_call_moves_on_with_the_input_unchanged(error: BaseException) -> None:
    good = Server("good")
    made = pool(failing(error), good.agent, capacity=1)
    assert await made(Item(n=1)) == Item(n=1)
    assert states(made)["failing"].failures == 1


@on_virtual_clock
async def test_what_is_the_records_fault_does_not_move_on() -> None:
    good = Server("good")
    made = pool(failing(Permanent("no")), good.agent, capacity=1, breaker=FRAGILE)
    with pytest.raises(Permanent, match="no"):
        await made(Item(n=1))
    assert good.begun == []
    assert states(made)["failing"].breaker is BreakerState.CLOSED


@on_virtual_clock
async def test_each_member_is_tried_once_and_the_last_error_tells_of_the_others() -> None:
    made = pool(
        failing(OSError("one"), "a"),
        failing(ValueError("two"), "b"),
        failing(OSError("three"), "c"),
        capacity=1,
        name="all",
    )
    with pytest.raises(OSError, match="three") as raised:
        await made(Item(n=1))
    assert raised.value.__notes__ == [
        "pool 'all': before that, 'a' failed with OSError: one",
        "pool 'all': before that, 'b' failed with ValueError: two",
    ]
    assert [(one.calls, one.active) for one in states(made).values()] == [(1, 0)] * 3


@on_virtual_clock
async def test_a_call_that_failed_waits_for_a_place_of_another_member() -> None:
    bad, good = Server("bad", 0.1), Server("good")
    bad.error = OSError()
    made = pool(bad.agent, good.agent, capacity=1)
    assert await call_all(made, range(4)) == [Item(n=n) for n in range(4)]
    assert good.most_active == 1


@on_virtual_clock
async def test_a_member_that_fails_is_left_out_and_taken_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = Server("bad", 0.01), Server("good", 0.1)
    made = pool(bad.agent, good.agent, capacity=4, name="p")
    bad.error = OSError("secret")
    with caplog.at_level(logging.WARNING):
        for n in range(100):
            assert await call_all(made, range(n, n + 5)) == [Item(n=i) for i in range(n, n + 5)]
        assert states(made)["bad"].breaker is not BreakerState.CLOSED
        assert len(bad.begun) < 15
        bad.error = None
        for n in range(300):
            await call_all(made, range(n, n + 5))
    assert states(made)["bad"].breaker is BreakerState.CLOSED
    assert len(bad.begun) > 300
    assert caplog.messages[0] == "pool 'p': agent 'bad' fails with OSError; another member answers"
    assert caplog.messages[1:] == [
        "pool 'p': member 'bad' is left out: one attempt after the other fails, now with OSError",
        "pool 'p': member 'bad' takes calls again",
    ]


@on_virtual_clock
async def test_if_all_members_are_open_the_error_says_when_to_ask_again() -> None:
    a, b = Server("a", 0.1), Server("b", 0.1)
    a.error = b.error = OSError("down")
    made = pool(a.agent, b.agent, capacity=1, breaker=FRAGILE, name="p")
    with pytest.raises(AllMembersOpenError, match="breakers of all members are open") as raised:
        await made(Item(n=1))
    assert 0 < raised.value.retry_after < 1
    assert isinstance(raised.value.__cause__, OSError)
    began = loop().time()
    with pytest.raises(AllMembersOpenError) as raised:
        await made(Item(n=1))
    assert (loop().time(), len(a.begun), len(b.begun)) == (began, 1, 1)
    a.error = b.error = None
    await asyncio.sleep(raised.value.retry_after)
    assert await made(Item(n=2)) == Item(n=2)


@on_virtual_clock
async def test_calls_that_come_during_a_probe_wait_for_its_end() -> None:
    server = Server("server", 1)
    server.error = OSError()
    made = pool(server.agent, capacity=9, breaker=FRAGILE)
    await call_all(made, range(1))
    await asyncio.sleep(1)
    server.error = None
    assert await call_all(made, range(9)) == [Item(n=n) for n in range(9)]
    assert server.most_active == 6  # three probes, one after the other; then the others at once


@on_virtual_clock
async def test_those_that_wait_for_a_place_are_told_at_once_when_all_members_open() -> None:
    server = Server("server", 1)
    server.error = OSError()
    made = pool(server.agent, capacity=1, breaker=FRAGILE)
    results = await call_all(made, range(5))
    assert [type(one) for one in results] == [AllMembersOpenError] * 5
    assert len(server.begun) == 1


@on_virtual_clock
async def test_those_that_wait_are_given_a_member_whose_probe_is_due() -> None:
    bad, slow = Server("bad", 0.1), Server("slow", 3600)
    bad.error = OSError()
    made = pool(bad.agent, slow.agent, capacity=1, breaker=FRAGILE)
    first = asyncio.ensure_future(made(Item(n=0)))  # moves on, and takes the only place
    await asyncio.sleep(0.5)
    bad.error = None
    assert await made(Item(n=1)) == Item(n=1)
    assert loop().time() < 2
    first.cancel()
    await asyncio.wait([first])


@on_virtual_clock
async def test_cancellation_gives_places_and_probes_back() -> None:
    server = Server("server", 3600)
    made = pool(server.agent, capacity=2, breaker=FRAGILE)
    calls = [asyncio.ensure_future(made(Item(n=n))) for n in range(4)]
    await asyncio.sleep(1)
    for one in calls:
        one.cancel()
    await asyncio.wait(calls)
    assert (states(made)["server"].active, server.active, len(server.begun)) == (0, 0, 2)
    server.error, server.seconds = OSError(), 1
    await call_all(made, range(1))
    await asyncio.sleep(1)
    server.error, server.seconds = None, 3600
    probe = asyncio.ensure_future(made(Item(n=9)))
    await asyncio.sleep(1)
    probe.cancel()
    await asyncio.wait([probe])
    server.seconds = 1
    assert await made(Item(n=5)) == Item(n=5)


@on_virtual_clock
async def test_a_place_that_is_given_to_a_call_that_is_cancelled_then_goes_to_the_next() -> None:
    balance = Balance([Member(MemberConfig("a"), Breaker(FRAGILE, random.Random(1)))])
    queue = PoolQueue(balance)
    first = await queue.begin_call(())
    second, third = (asyncio.ensure_future(queue.begin_call(())) for _ in range(2))
    await asyncio.sleep(1)
    assert isinstance(first, Call)
    first.released()
    queue.serve()
    second.cancel()
    found = await third
    assert second.cancelled()
    assert isinstance(found, Call)
    assert balance.members[0].active == 1


@on_virtual_clock
async def test_cancellation_does_not_move_on_even_if_it_is_caught() -> None:
    other = Server("other")

    @agent
    async def catches(item: Item) -> Item:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("was cancelled") from None
        return item

    made = pool(catches, other.agent, capacity=1, weights=(9, 1))
    attempt = asyncio.ensure_future(made(Item(n=1)))
    await asyncio.sleep(1)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert other.begun == []
    assert states(made)["catches"].failures == 0


@on_virtual_clock
async def test_a_member_whose_calls_are_cancelled_after_long_is_taken_for_slow() -> None:
    hangs, good = Server("hangs", 3600), Server("good", 0.1)
    made = pool(hangs.agent, good.agent, capacity=4)
    for n in range(20):
        await asyncio.wait([attempt := asyncio.ensure_future(made(Item(n=n)))], timeout=2)
        attempt.cancel()
        await asyncio.wait([attempt])
    assert len(hangs.begun) < 5


@on_virtual_clock
async def test_a_member_with_a_deadline_of_its_own_moves_on_when_it_hangs() -> None:
    hangs, good = Server("hangs", 3600), Server("good", 0.1)
    made = pool(branch(hangs.agent, timeout_seconds=1), good.agent, capacity=4, breaker=FRAGILE)
    assert await call_all(made, range(8)) == [Item(n=n) for n in range(8)]
    assert hangs.active == 0
    assert states(made)["hangs"].breaker is not BreakerState.CLOSED


@on_virtual_clock
async def test_a_record_that_always_fails_in_an_unknown_way_opens_no_member() -> None:
    """However often it is tried: it is one key."""

    @agent
    def picky(item: Item) -> Item:
        if item.n == 0:
            raise ValueError("poison")
        return item

    made = pool(picky, branch(picky, name="picky-2"), capacity=1)
    for _ in range(40):
        with pytest.raises(ValueError, match="poison"):
            await made(Item(n=0))
    assert await made(Item(n=1)) == Item(n=1)
    for n in range(100):
        with pytest.raises((ValueError, AllMembersOpenError)):
            await made(Item(n=0, tags=[str(n)]))
    with pytest.raises(AllMembersOpenError):
        await made(Item(n=1))


def test_another_event_loop_begins_anew() -> None:
    made = pool(failing(OSError()), capacity=1, breaker=FRAGILE)
    for _ in range(2):
        with pytest.raises(AllMembersOpenError) as raised:
            asyncio.run(made(Item(n=1)))
        assert isinstance(raised.value.__cause__, OSError)


@on_virtual_clock
async def test_states_tell_of_each_member() -> None:
    a, b = Server("a"), Server("b")
    made = pool(a.agent, b.agent, capacity=(2, 3))
    calls = asyncio.ensure_future(call_all(made, range(4)))
    await asyncio.sleep(0.5)
    found = states(made)
    assert [(one.name, one.active, one.capacity, one.calls) for one in found.values()] == [
        ("a", 2, 2, 2), ("b", 2, 3, 2),
    ]  # fmt: skip
    assert all(one.score > 0 for one in found.values())
    await calls


def test_pools_are_found_wherever_they_are_parts() -> None:
    made = pool(twice, capacity=1)
    joined = parallel(made, chain(made, plus_one))
    whole = joined.join(lambda item, a, b: item, output_type=Item)  # noqa: ARG005 - as a join is called
    assert [found.name for found in pools_of(whole)] == ["twice"]


@on_virtual_clock
async def test_a_pool_of_a_pool_holds_its_outer_member_at_once() -> None:
    bad, good = Server("bad", 0.1), Server("good", 1)
    bad.error = OSError()
    inner = pool(bad.agent, capacity=9, breaker=FRAGILE, name="inner")
    made = pool(inner, good.agent, capacity=9)
    assert await made(Item(n=1)) == Item(n=1)
    outer, _ = pools_of(made)
    assert outer.states()[0].breaker is BreakerState.OPEN


@on_virtual_clock
async def test_members_get_the_context_and_may_give_none() -> None:
    @agent
    def attempt(_: Item, context: Context) -> Item | None:
        return Item(n=context.attempt) if context.attempt > 1 else None

    made = pool(attempt, odd, capacity=1, weights=(9, 1))
    assert made.takes_context
    assert made.results == Results(none=True)
    assert await made(Item(n=1), Context("p", "s", attempt=7)) == Item(n=7)
    assert await made(Item(n=1), Context("p", "s", attempt=1)) is None


@given(
    capacity=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    jobs=st.lists(
        st.tuples(
            st.floats(0, 3, allow_nan=False),  # comes
            st.sampled_from([None, OSError, ValueError, Permanent]),  # fails with
            st.none() | st.floats(0, 3, allow_nan=False),  # is cancelled
        ),
        max_size=30,
    ),
)
@settings(max_examples=60, deadline=None)
def test_no_capacity_is_ever_exceeded_and_every_place_is_given_back(
    capacity: tuple[int, int], jobs: list[tuple[float, type[Exception] | None, float | None]]
) -> None:
    @on_virtual_clock
    async def run() -> None:
        active, most = Counter[str](), Counter[str]()

        def server(name: str) -> Agent[Item, Item]:
            @agent(name=name)
            async def serve(item: Item) -> Item:
                active[name] += 1
                most[name] = max(most[name], active[name])
                try:
                    await asyncio.sleep(0.1 * (item.n % 7))
                finally:
                    active[name] -= 1
                if (error := jobs[item.n][1]) is not None:
                    raise error
                return item

            return serve

        made = pool(server("a"), server("b"), capacity=capacity)

        async def one(n: int) -> None:
            await asyncio.sleep(jobs[n][0])
            call = asyncio.ensure_future(made(Item(n=n)))
            await asyncio.wait([call], timeout=jobs[n][2])
            call.cancel()
            await asyncio.wait([call])

        await asyncio.gather(*(one(n) for n in range(len(jobs))))
        assert most["a"] <= capacity[0]
        assert most["b"] <= capacity[1]
        assert [state.active for state in states(made).values()] == [0, 0]

    run()


@agent
def plus_one(n: int) -> int:
    return n + 1


@agent
def other_input(fixed: Fixed) -> Item:
    return Item(n=fixed.n)


@agent
def same(item: Item) -> Item:
    return item


def yields(item: Item) -> Iterator[Item]:
    yield item
    yield item


async def test_outputs_of_a_generator_are_collected() -> None:
    made = pool(agent(yields), capacity=1)
    assert await made(Item(n=1)) == [Item(n=1), Item(n=1)]
    assert made.results.many


@pytest.mark.parametrize(
    ("agents", "given", "says"),
    [
        ([], {}, r"pool\(\) was given no agent; give at least one member"),
        ([same, same], {}, "two members have the name same; give each its own"),
        ([twice, text], {}, "the same output, but 'twice' gives int, 'text' gives str"),
        ([same, other_input], {}, "'same' takes Item, 'other-input' takes Fixed"),
        ([same, 3], {}, r"pool\(\) was given a value of type int; give agents"),
        ([same], {"capacity": 0}, "capacity of same must be a whole number of at least 1, not 0"),
        ([same], {"capacity": (1, 2)}, "capacity has 2 values for 1 members; give one for each"),
        ([same], {"weights": 0}, "weight of same must be above 0"),
        ([same], {"weights": "heavy"}, "weight of same must be above 0 and finite, not 'heavy'"),
        ([same], {"calls_per_minute": 0}, "calls_per_minute of same must be a whole number"),
        ([same], {"breaker": 3}, "breaker is 3; give a BreakerConfig"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(agents: list[Any], given: Any, says: str) -> None:
    with pytest.raises(PipelineError, match=says) as raised:
        pool(*agents, **{"capacity": 1, **given})
    assert "\n" not in str(raised.value)
