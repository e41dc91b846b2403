"""What becomes of calls that the client goes on with although nobody waits for them."""

import asyncio
import gc
from typing import Any

from streamapp.brokers.kafka.forced_close import retrieve_errors


class Client:
    """Shields a call from whoever gives up waiting, as the Kafka client does with commits."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()

    async def commit(self) -> None:
        await asyncio.shield(self._do_commit())

    async def _do_commit(self) -> None:
        await self.answer.wait()
        raise OSError("nobody is there")


async def reports(*, retrieving: bool) -> list[dict[str, Any]]:
    """What asyncio reports when a call that was given up fails later."""
    client, told = Client(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    try:
        async with asyncio.timeout(0):
            await client.commit()
    except TimeoutError:
        if retrieving:
            retrieve_errors(client, "_do_commit")
    client.answer.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others)
    del others
    gc.collect()
    return told


async def test_an_error_that_nobody_waits_for_is_not_reported() -> None:
    assert await reports(retrieving=True) == []
    assert [r["message"] for r in await reports(retrieving=False)] == [
        "Task exception was never retrieved"
    ]
