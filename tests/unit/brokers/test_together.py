"""Requests that are made together, and those that are not."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from streamapp.brokers.shared.together import GATHER_SECONDS, Together
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition
from tests.unit.brokers.manual_clock import ManualClock

A, B, C = (TopicPartition(name, 0) for name in "abc")


class Asked:
    """What is asked of a broker, with the answer `offset + 1` for each partition."""

    def __init__(self) -> None:
        self.calls: list[dict[TopicPartition, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken: set[TopicPartition] = set()

    async def __call__(self, what: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        self.calls.append(dict(what))
        await self.gate.wait()
        if self.broken & what.keys():
            raise BrokerError("one of these is broken")
        return {name: offset + 1 for name, offset in what.items()}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def together(asked: Asked, clock: ManualClock) -> Together[int, int]:
    return Together(asked, clock)


def ask(together: Together[int, int], **what: int) -> "asyncio.Task[Any]":
    names = {TopicPartition(name, 0): offset for name, offset in what.items()}
    return asyncio.create_task(together.ask(names))


async def test_requests_of_about_the_same_time_are_one_and_each_gets_its_answer(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    one, two = ask(together, a=1, b=2), ask(together, c=3)
    await clock.advance(GATHER_SECONDS)
    assert asked.calls == [{A: 1, B: 2, C: 3}]
    assert (await one, await two) == ({A: 2, B: 3}, {C: 4})


async def test_what_comes_while_a_request_is_under_way_goes_with_the_next(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    asked.gate.clear()
    one = ask(together, a=1)
    await clock.advance(GATHER_SECONDS)
    two = ask(together, a=2)
    await clock.advance(GATHER_SECONDS)
    assert asked.calls == [{A: 1}]
    asked.gate.set()
    await clock.advance(GATHER_SECONDS)
    assert asked.calls == [{A: 1}, {A: 2}]
    assert (await one, await two) == ({A: 2}, {A: 3})


async def test_who_took_part_in_a_failure_asks_alone_until_that_succeeds(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    asked.broken = {B}
    first = [ask(together, a=1), ask(together, b=1), ask(together, c=1)]
    await clock.advance(GATHER_SECONDS)
    assert all(isinstance(task.exception(), BrokerError) for task in first)
    second = [ask(together, a=2), ask(together, b=2), ask(together, c=2)]
    await clock.settle()
    assert asked.calls[1:] == [{A: 2}, {B: 2}, {C: 2}]
    assert isinstance(second[1].exception(), BrokerError)
    assert (await second[0], await second[2]) == ({A: 3}, {C: 3})
    third = [ask(together, a=3), ask(together, b=3), ask(together, c=3)]
    await clock.advance(GATHER_SECONDS)
    assert asked.calls[4:] == [{B: 3}, {A: 3, C: 3}]
    assert isinstance(third[1].exception(), BrokerError)


async def test_a_request_is_not_made_for_who_has_given_up(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    one, two = ask(together, a=1), ask(together, b=1)
    await clock.settle()
    one.cancel()
    await clock.advance(GATHER_SECONDS)
    assert asked.calls == [{B: 1}]
    assert await two == {B: 2}


async def test_a_request_alone_never_overtakes_an_earlier_one_that_somebody_waits_for(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    asked.gate.clear()
    late, waits = ask(together, a=1), ask(together, b=1)
    await clock.advance(GATHER_SECONDS)
    late.cancel()
    await clock.settle()
    alone = ask(together, a=2)
    await clock.settle()
    assert asked.calls == [{A: 1, B: 1}]  # the broker may still store what it was given
    asked.gate.set()
    await clock.settle()
    assert asked.calls == [{A: 1, B: 1}, {A: 2}]
    assert (await waits, await alone) == ({B: 2}, {A: 3})


async def test_a_request_that_nobody_waits_for_any_more_holds_up_no_other(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    asked.gate.clear()
    late = [ask(together, a=1), ask(together, b=1)]
    await clock.advance(GATHER_SECONDS)
    behind = ask(together, c=1)
    for one in late:
        one.cancel()
    await clock.settle()
    asked.gate.set()
    assert await ask(together, a=2) == {A: 3}
    await clock.advance(GATHER_SECONDS)
    assert await behind == {C: 2}
    assert asked.calls == [{A: 1, B: 1}, {A: 2}, {C: 1}]


async def test_a_request_that_is_cancelled_from_within_fails_for_who_waits(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    asked.gate.clear()
    one = ask(together, a=1)
    await clock.advance(GATHER_SECONDS)
    (call,) = [task for task in asyncio.all_tasks() if "Asked.__call__" in repr(task.get_coro())]
    call.cancel()
    await clock.settle()
    assert isinstance(one.exception(), BrokerError)
    asked.gate.set()
    assert await ask(together, a=2) == {A: 3}


async def test_in_a_hurry_requests_do_not_wait_for_others(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    together.hurries = True
    one = ask(together, a=1)
    await clock.settle()
    assert asked.calls == [{A: 1}]
    assert await one == {A: 2}


async def test_what_is_given_up_fails_and_is_never_asked_again(
    together: Together[int, int], asked: Asked, clock: ManualClock
) -> None:
    asked.gate.clear()
    under_way = ask(together, a=1)
    await clock.advance(GATHER_SECONDS)
    waiting = ask(together, b=1)
    await clock.settle()
    await together.give_up(BrokerError("given back"))
    await clock.settle()
    asked.gate.set()
    await clock.advance(GATHER_SECONDS)
    assert [str(task.exception()) for task in (under_way, waiting)] == ["given back"] * 2
    assert asked.calls == [{A: 1}]
