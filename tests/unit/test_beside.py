"""Work that runs beside a block ends with it."""

import asyncio

import pytest

from streamapp.beside import beside


async def test_work_runs_while_the_block_does_and_has_ended_behind_it() -> None:
    seen: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with beside(work()):
        await begun.wait()
        assert seen == []
    assert seen == ["ended"]


async def test_what_the_work_raises_is_raised_behind_the_block() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        async with beside(work()):
            await asyncio.sleep(0)
