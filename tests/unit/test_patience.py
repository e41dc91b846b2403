"""A wait that is over says what was waited for, and what was there instead."""

import asyncio
from collections.abc import Awaitable

import pytest

from tests.patience import eventually, within


async def test_it_says_what_a_condition_compares() -> None:
    found = [1]
    with pytest.raises(TimeoutError, match=r"^waited 0.1 s for len\(found\) == 2; there was") as e:
        await eventually(lambda: len(found) == 2, seconds=0.1)
    assert "{'len(found)': 1}" in str(e.value)


async def test_it_says_a_condition_of_several_lines() -> None:
    first, second = 1, "two"
    with pytest.raises(TimeoutError) as error:
        await eventually(
            lambda: [first, second] == [1, 2]
            or first == 2,
            seconds=0.1,
        )  # fmt: skip
    assert "waited 0.1 s for [first, second] == [1, 2] or first == 2" in str(error.value)


async def test_it_awaits_what_has_to_be_awaited_and_tells_the_arguments() -> None:
    async def count(of: str) -> int:
        return len(of)

    async def at_least(value: Awaitable[int], least: int) -> bool:
        return await value >= least

    with pytest.raises(TimeoutError) as error:
        await eventually(lambda of="ab": at_least(count(of), 3), seconds=0.1)  # type: ignore[misc]  # a default
    there = "{'at_least(count(of), 3)': False, 'count(of)': 2}"
    assert str(error.value) == f"waited 0.1 s for at_least(count(of), 3); there was {there}"


async def test_it_tells_the_error_of_what_has_to_be_awaited() -> None:
    asked: list[int] = []

    async def answer(number: int) -> bool:
        asked.append(number)
        if len(asked) > 1:
            raise LookupError("it has gone")
        return False

    with pytest.raises(TimeoutError, match=r"was {'answer\(1\)': LookupError\('it has gone'\)}"):
        await eventually(lambda: answer(1), seconds=0.1, pause_seconds=60)


async def test_it_names_a_function() -> None:
    async def arrived() -> bool:
        return False

    with pytest.raises(TimeoutError, match=r"waited 0.1 s for arrived of test_patience.py"):
        await eventually(arrived, seconds=0.1)


async def test_a_block_says_what_it_was_for() -> None:
    with pytest.raises(TimeoutError, match=r"^waited 0.1 s for the bus; there was \['a tram'\]$"):
        async with within(0.1, "the bus", lambda: ["a tram"]):
            await asyncio.Event().wait()


async def test_a_timeout_of_the_block_itself_is_not_taken_for_its_end() -> None:
    with pytest.raises(TimeoutError, match=r"^its own$"):
        async with within(5, "the bus"):
            raise TimeoutError("its own")


async def test_what_holds_is_not_waited_for() -> None:
    calls: list[int] = []

    def third() -> bool:
        calls.append(1)
        return len(calls) == 3

    await eventually(third, seconds=5, pause_seconds=0)
    assert len(calls) == 3
