"""A wait that is over says what was waited for, and what was there instead."""

import asyncio

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
