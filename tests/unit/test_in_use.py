"""What a run sets once, and who finds it."""

import asyncio
from contextvars import copy_context

from streamapp.in_use import InUse

VALUE: InUse[str] = InUse("value", "default")


async def test_it_is_found_by_tasks_that_are_created_within_and_by_nobody_else() -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return VALUE.get()

    outside = asyncio.ensure_future(later())
    with VALUE.set("own"):
        inside = asyncio.ensure_future(later())
        assert VALUE.get() == "own"
    assert (await outside, await inside, VALUE.get()) == ("default", "own", "default")


def test_to_end_in_another_context_harms_nothing() -> None:
    scope = VALUE.set("own")
    copy_context().run(scope.__enter__)
    scope.__exit__(None, None, None)
    assert VALUE.get() == "default"
