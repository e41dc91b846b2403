"""Blocking agents in a bounded pool of threads.

A thread cannot be interrupted. An attempt that is cancelled therefore ends when its thread does,
and keeps its lane and its key until then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any

from streamapp.in_use import InUse

_IN_USE: InUse[Executor | None] = InUse("threads", None)


def threads_in_use(pool: Executor) -> AbstractContextManager[None]:
    """Let blocking parts of agents run in this pool if they are called within."""
    return _IN_USE.set(pool)


def in_thread(
    function: Callable[..., Any], pool: Executor | None = None
) -> Callable[..., Awaitable[Any]]:
    """Make an awaitable function of a blocking one, which runs in a thread.

    Without a pool, in that of the segment that calls it, or else in that of the event loop.
    """

    async def run(*args: Any) -> Any:
        context = copy_context()
        loop = asyncio.get_running_loop()
        call = _Call(function, args)
        running = loop.run_in_executor(pool or _IN_USE.get(), context.run, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            call.cancelled = True
            await _ended(running)
            raise

    return run


class _Call:
    """One call of a function; once it is cancelled, it no longer begins."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.cancelled = False
        self._function = function
        self._args = args

    def __call__(self) -> Any:
        if self.cancelled:
            return None
        try:
            return self._function(*self._args)
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
