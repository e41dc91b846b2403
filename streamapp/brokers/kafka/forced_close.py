"""Leave a Kafka client that does not stop by itself.

This knows aiokafka 0.14 from inside: `stop` waits for requests that may never be answered, so in
an outage it hangs. Its background tasks are methods of its parts; they are found by that.
"""

import asyncio
import contextlib
from types import CoroutineType
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

_ROUNDS = 5
_ROUND_SECONDS = 0.5
_PARTS = ("_client", "client", "_coordinator", "_fetcher", "_sender", "_message_accumulator")


def parts(client: object) -> tuple[object, ...]:
    """A client of aiokafka and those of its parts that run tasks."""
    found = (getattr(client, name, None) for name in _PARTS)
    return (client, *(part for part in found if part is not None))


async def force_close(*clients: object) -> None:
    """Cancel the tasks of these clients and close their connections."""
    owners = {id(part): part for client in clients for part in parts(client)}
    for _ in range(_ROUNDS):  # some tasks catch the first cancellation to wait for another
        running = [task for task in asyncio.all_tasks() if _owner(task) in owners]
        if not running:
            break
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_ROUND_SECONDS)
    for part in owners.values():
        if isinstance(part, AIOKafkaClient):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_ROUND_SECONDS):
                    await part.close()


def retrieve_errors(owner: object, method: str) -> None:
    """Take the errors of calls of this method that run on in tasks: nobody waits for them now.

    The client shields some calls from cancellation, and asyncio reports an error that nobody took.
    """
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if _owner(task) == id(owner) and getattr(coroutine, "__name__", "") == method:
            task.add_done_callback(_retrieve_error)


def _retrieve_error(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


def _owner(task: asyncio.Task[Any]) -> int | None:
    """Identity of the object whose method the task runs."""
    coroutine = task.get_coro()
    if task is asyncio.current_task() or not isinstance(coroutine, CoroutineType):
        return None
    frame = coroutine.cr_frame
    return id(frame.f_locals.get("self")) if frame is not None else None
