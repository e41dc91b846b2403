"""Close a Kafka client by force, when its own `stop` hangs.

`stop` waits for requests that may never be answered, so it hangs in an outage. This uses internals
of aiokafka 0.14: the client and its parts run their methods as background tasks, so a task belongs
to a client if the object whose method it runs is one of its parts.
"""

import asyncio
import contextlib
from types import CoroutineType
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

# Some tasks catch a cancellation to wait for another task, so they are cancelled several times.
# Cancelled tasks end within milliseconds; half a second also covers a busy event loop.
_ROUNDS = 5
_ROUND_SECONDS = 0.5
_PARTS = ("_client", "client", "_coordinator", "_fetcher", "_sender", "_message_accumulator")


def parts(client: object) -> tuple[object, ...]:
    """An aiokafka client and those of its parts that run background tasks."""
    found = (getattr(client, name, None) for name in _PARTS)
    return (client, *(part for part in found if part is not None))


async def force_close(*clients: object) -> None:
    """Cancel the background tasks of these clients and close their connections."""
    owners = {id(part): part for client in clients for part in parts(client)}
    for _ in range(_ROUNDS):
        running = [task for task in asyncio.all_tasks() if _owner(task) in owners]
        if not running:
            break
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_ROUND_SECONDS)
    for part in owners.values():
        if isinstance(part, AIOKafkaClient):
            if part._sync_task is not None and part._sync_task.done():  # noqa: SLF001 - see the module
                # Else `close` raises what has ended it, and closes nothing.
                part._sync_task = None  # noqa: SLF001 - see the module
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_ROUND_SECONDS):
                    await part.close()


def retrieve_errors(owner: object, method: str) -> None:
    """Retrieve the errors of background calls of this method when they end.

    The client shields some calls from cancellation, so they continue after their caller has given
    up. Asyncio logs "Task exception was never retrieved" for an error that nobody retrieves.
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
