"""Blocking agents in a bounded pool of threads.

A thread cannot be interrupted. An attempt that is cancelled therefore ends when its thread does,
and keeps its lane and its key until then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Any


def in_thread(function: Callable[..., Any], pool: Executor) -> Callable[..., Awaitable[Any]]:
    """Make an awaitable function of a blocking one, which runs in a thread."""

    async def run(*args: Any) -> Any:
        context = copy_context()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(pool, partial(context.run, _called, function, args))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await _ended(running)
            raise

    return run


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except StopIteration as error:  # no future takes it
        raise RuntimeError("the agent raised StopIteration") from error


async def _ended(running: "asyncio.Future[Any]") -> None:
    """Wait for a thread even if the wait is cancelled; its result is ignored then."""
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            continue
    if not running.cancelled():
        running.exception()
