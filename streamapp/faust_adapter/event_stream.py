"""What the function of a Faust agent iterates over: one event at a time, as the runtime gives it.

A stream of Faust acknowledges each event when the next one is asked for, failed or not. This one
acknowledges nothing: the runtime commits.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from faust.streams import _current_event

from streamapp.errors import PipelineError


class EventStream:
    """The stream of one run of an agent's function.

    Attributes:
        asked: done when the function asks for its next event, and has ended with the one before.
        current_event: the event that the function works on.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._given = asyncio.Queue[Any](1)
        self.asked = asyncio.get_running_loop().create_future()
        self.current_event: Any = None

    @property
    def has_taken(self) -> bool:
        """Whether the function has taken what it was given."""
        return self._given.empty()

    def give(self, event: Any) -> None:
        """Give the function its next event, after it has asked for one."""
        self.asked = asyncio.get_running_loop().create_future()
        self._given.put_nowait(event)

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Any:
        await self._next()
        return self.current_event.value

    async def events(self) -> AsyncIterator[Any]:
        """The events, each with key, value and message."""
        while True:
            yield await self._next()

    async def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """Pairs of key and value."""
        async for event in self.events():
            yield event.key, event.value

    async def _next(self) -> Any:
        self.current_event = None
        # Who was cut off while it waited, and asks again, may not have had its event yet.
        if self.has_taken and not self.asked.done():
            self.asked.set_result(None)
        event = self.current_event = await self._given.get()
        # Tables take the partition of their changelog from it, and windows the time.
        _current_event.set(weakref.ref(event))
        return event

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise PipelineError(
            f"the Faust agent {self._name!r} uses stream.{name}, which a stage does not have: it is"
            " given one record at a time. Iterate over the stream, its events() or its items()"
        )
