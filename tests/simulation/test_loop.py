"""The virtual loop: time jumps, order is drawn, a frozen process stands still."""

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.simulation.loop import (
    MAX_TURNS,
    LivelockError,
    StalledError,
    VirtualLoop,
    process_context,
)


def run(main: Coroutine[Any, Any, Any], seed: int = 0, disorder: float = 0.0) -> Any:
    loop = VirtualLoop(random.Random(seed), disorder)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def test_a_year_passes_at_once() -> None:
    async def sleep_a_year() -> float:
        await asyncio.sleep(365 * 24 * 3600)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run(sleep_a_year()) == 365 * 24 * 3600
    assert time.monotonic() - started < 3600


def test_timers_fire_in_the_order_of_their_times() -> None:
    fired: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for seconds in (3, 1, 2):
            loop.call_later(seconds, fired.append, seconds)
        loop.call_later(1.5, fired.append, 99).cancel()
        await asyncio.sleep(4)

    run(main())
    assert fired == [1, 2, 3]


async def poll(seconds: float, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(seconds)


def test_a_loop_that_turns_without_end_is_ended() -> None:
    with pytest.raises(LivelockError, match="400000 turns of the loop until 0"):
        run(poll(0, MAX_TURNS + 1))


def test_a_long_run_may_take_many_turns() -> None:
    run(poll(0.01, MAX_TURNS + 1))


async def order_of_ten() -> list[int]:
    order: list[int] = []

    async def step(number: int) -> None:
        await asyncio.sleep(0)
        order.append(number)

    await asyncio.gather(*(step(number) for number in range(10)))
    return order


def test_the_seed_decides_the_order_of_task_steps() -> None:
    assert run(order_of_ten(), seed=1, disorder=1.0) == run(order_of_ten(), seed=1, disorder=1.0)
    assert run(order_of_ten(), seed=1, disorder=1.0) != run(order_of_ten(), seed=2, disorder=1.0)
    assert run(order_of_ten(), seed=1, disorder=0.0) == list(range(10))


def test_callbacks_keep_the_order_that_asyncio_promises() -> None:
    called: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(20):
            loop.call_soon(called.append, number)
        await asyncio.sleep(0.1)

    run(main(), disorder=1.0)
    assert called == list(range(20))


def test_a_frozen_process_stands_still_and_then_catches_up() -> None:
    seen: list[tuple[str, float]] = []

    async def tick(name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        frozen = loop.create_task(tick("frozen"), context=process_context("p"))
        other = loop.create_task(tick("other"), context=process_context("q"))
        await asyncio.sleep(1.5)
        loop.freeze("p")
        await other
        assert [name for name, _ in seen] == ["frozen", "other", "other", "other"]
        await asyncio.sleep(10)
        loop.thaw("p")
        await frozen

    run(main())
    assert seen[-2:] == [("frozen", 13.0), ("frozen", 14.0)]


def test_a_run_in_which_nothing_can_happen_any_more_ends_with_an_error() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    main = forever()
    loop = VirtualLoop(random.Random(0), 0.0)
    task = loop.create_task(main)
    with pytest.raises(StalledError):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_a_blocked_process_does_nothing_while_the_others_go_on() -> None:
    ran: list[tuple[float, str]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        async def block() -> None:
            own = loop.create_task(tick("beside", 1))
            await asyncio.sleep(0.5)
            loop.block(10)
            assert asyncio.current_task() is blocking
            ran.append((loop.time(), "blocked"))
            await own

        async def tick(name: str, times: int) -> None:
            for _ in range(times):
                await asyncio.sleep(4)
                ran.append((loop.time(), name))

        blocking = loop.create_task(block(), context=process_context("p"))
        await asyncio.gather(
            blocking, loop.create_task(tick("other", 3), context=process_context("q"))
        )

    run(main())
    assert ran == [(4, "other"), (8, "other"), (10.5, "blocked"), (10.5, "beside"), (12, "other")]


def test_what_was_ready_before_a_block_keeps_its_place() -> None:
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        async def block() -> None:
            loop.call_soon(order.append, "first", context=process_context("q"))
            await asyncio.sleep(0)
            loop.call_soon(order.append, "third", context=process_context("q"))
            loop.block(1)

        blocking = loop.create_task(block(), context=process_context("p"))
        loop.call_soon(loop.call_soon, order.append, "second")
        await blocking

    run(main())
    assert order == ["first", "second", "third"]


def test_a_frozen_process_stays_so_when_its_block_ends() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        async def block() -> float:
            loop.block(2)
            await asyncio.sleep(0)
            return loop.time()

        first = loop.create_task(block(), context=process_context("p"))
        second = loop.create_task(block(), context=process_context("q"))
        loop.call_later(1, loop.freeze, "p")
        loop.call_later(5, loop.thaw, "p")
        return [await first, await second]

    assert run(main()) == [5, 2]
