"""Runs the function of a Faust agent, and gives it one event after the other."""

import asyncio
import logging
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from typing import Any

from streamapp.errors import PipelineError
from streamapp.faust_adapter.event_stream import EventStream

log = logging.getLogger(__name__)

MOST_RUNS = 2
"""How many runs an event is given to: one may end, such as by a timeout, while it waits."""


class Conversation:
    """One run of an agent's function after the other: a failure ends the run, as it does in Faust.

    Args:
        name: name of the agent.
        function: takes a stream; a coroutine function, or one that yields asynchronously.
    """

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        self._name = name
        self._function = function
        self._stream: EventStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._outputs: list[Any] = []

    async def begin(self) -> None:
        """Run the function until it asks for its first event.

        Raises:
            PipelineError: it does not ask for one, or for more than a stage can give.
        """
        self._stream = EventStream(self._name)
        self._task = asyncio.create_task(self._run(self._stream), name=f"Faust agent {self._name}")
        await self._wait()
        if self._task.done():
            await self._ended()
            raise PipelineError(
                f"the Faust agent {self._name!r} ended without asking for a record: iterate over"
                " its stream"
            )

    async def work_on(self, event: Any) -> list[Any]:
        """Give the function an event, and return what it has yielded when it asks for the next.

        Raises:
            Exception: whatever the function raises; the next event is given to a new run.
            PipelineError: one run after the other ends without taking the event.
        """
        for _ in range(MOST_RUNS):
            outputs: list[Any] = []
            if await self._has_worked_on(event, outputs):
                return outputs
        raise PipelineError(
            f"the Faust agent {self._name!r} asks for a record and ends before it is given one:"
            " iterate over its stream"
        )

    async def _has_worked_on(self, event: Any, outputs: list[Any]) -> bool:
        """Give the function an event; whether it has taken it, which it has not if it had ended."""
        if self._stream is None:
            await self.begin()
        assert self._stream is not None  # noqa: S101 - `begin` has made it
        assert self._task is not None  # noqa: S101 - the same
        self._outputs = outputs
        stream, task = self._stream, self._task
        stream.give(event)
        await self._wait()
        if not task.done():
            return True
        if stream.has_taken:
            await self._ended()
            return True
        why = "it was cancelled" if task.cancelled() else repr(task.exception() or "it returned")
        log.warning("the Faust agent %s ended while it waited for a record: %s", self._name, why)
        self._task = self._stream = None
        return False

    async def end(self) -> None:
        """Cancel the run, if there is one, and wait until it has ended."""
        task, self._task, self._stream = self._task, None, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _wait(self) -> None:
        """Wait until the function asks for an event, or ends; if cancelled, cancel it as well."""
        assert self._stream is not None  # noqa: S101 - `begin` has made it
        assert self._task is not None  # noqa: S101 - the same
        try:
            await asyncio.wait(
                {self._task, self._stream.asked}, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            await self.end()
            raise

    async def _ended(self) -> None:
        """Forget a run that has ended, and raise what it has raised."""
        task, self._task, self._stream = self._task, None, None
        assert task is not None  # noqa: S101 - it has ended
        if task.cancelled():
            raise RuntimeError(f"the Faust agent {self._name!r} cancelled itself")
        await task

    async def _run(self, stream: EventStream) -> None:
        result = self._function(stream)
        if isinstance(result, AsyncIterable):
            async for value in result:
                self._outputs.append(value)
        else:
            await result
