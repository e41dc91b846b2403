"""What becomes of calls that the client goes on with although nobody waits for them."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from streamapp.brokers.kafka.connection import Connection
from streamapp.brokers.kafka.forced_close import retrieve_errors
from streamapp.settings import KafkaSettings


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


class Open:
    """A connection of a client."""

    is_closed = False

    def close(self, reason: object = None) -> "asyncio.Future[None]":
        del reason
        self.is_closed = True
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def connected(self) -> bool:
        return not self.is_closed


@pytest.mark.parametrize("error", [KeyError("x"), KafkaError("x")], ids=repr)
async def test_a_client_whose_background_task_has_failed_is_closed(error: Exception) -> None:
    async def fail() -> None:
        raise error

    client: Any = AIOKafkaClient(bootstrap_servers="127.0.0.1:9")
    client._sync_task = asyncio.create_task(fail())
    await asyncio.wait({client._sync_task})
    connection = client._conns["some", 0] = Open()
    await Connection(KafkaSettings()).stop(client.close, (client,))
    assert connection.is_closed
