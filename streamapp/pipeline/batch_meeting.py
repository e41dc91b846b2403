"""Middleware runs around each value of a batch, and the agent is called with the batch.

The values meet at the call: once the middleware of each has come there, or has ended without it,
the agent is called with those that have come. Where middleware calls again, they meet again.

A call with several values that fails as a whole is not told to middleware, which would answer for
values that are not at fault. All of it ends, and begins again when each value is tried alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from streamapp.pipeline.batch_call import FailedCall, Many, result_of_item
from streamapp.pipeline.combinators.tasks import Watch, all_of
from streamapp.pipeline.context import Context

Call: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The values that an agent is called with together.

    Attributes:
        contexts: the context of each.
        shared: what middleware keeps for the whole batch.
    """

    contexts: Sequence[Context]
    shared: dict[object, Any] = field(default_factory=dict)


_batch: ContextVar[Batch | None] = ContextVar("batch", default=None)


def current_batch() -> Batch | None:
    """The batch that the middleware which asks runs for; `None` around a single value."""
    return _batch.get()


async def call_together(
    values: list[Any], contexts: list[Context], around: Callable[[Call], Call], many: Many
) -> list[Any]:
    """Call an agent with values that each have middleware around their part of the call.

    Args:
        values: the values.
        contexts: their contexts.
        around: puts the middleware around the call of one value.
        many: calls the agent.

    Returns:
        The result of each value, as `Many` says.

    Raises:
        asyncio.CancelledError: this was cancelled; nothing of it runs any more.
    """
    meeting = _Meeting(len(values), many)
    guests = [
        _Guest(meeting, value, context) for value, context in zip(values, contexts, strict=True)
    ]
    calls = [(f"middleware {i}", partial(guest.run, around)) for i, guest in enumerate(guests)]
    token = _batch.set(Batch(contexts))
    try:
        await all_of([("batch", meeting.run), *calls])
    except _FailedTogetherError as raised:
        return [guest.result if guest.has_ended else raised.failed for guest in guests]
    finally:
        _batch.reset(token)
    return [guest.result for guest in guests]


class _FailedTogetherError(Exception):
    """A call with several values has failed as a whole."""

    def __init__(self, failed: FailedCall) -> None:
        super().__init__()
        self.failed = failed


class _Meeting:
    """Calls the agent when nobody else is to come."""

    def __init__(self, count: int, many: Many) -> None:
        self._many = many
        self._unfinished = count
        self._on_the_way = count
        self._here: list[tuple[_Guest, Any, asyncio.Future[Any]]] = []
        self._complete = asyncio.Event()

    async def run(self) -> None:
        while self._unfinished:
            await self._complete.wait()
            self._complete.clear()
            here, self._here = self._here, []
            if not here:
                continue
            results = await self._many(
                [data for _, data, _ in here], [guest.context for guest, _, _ in here]
            )
            if isinstance(results[0], FailedCall) and results[0].count > 1:
                raise _FailedTogetherError(results[0])
            for (guest, _, answer), result in zip(here, results, strict=True):
                if not answer.done():
                    self._leave(guest)
                    answer.set_result(result)

    async def pass_on(self, guest: "_Guest", data: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._here.append((guest, data, answer))
        guest.calls += 1
        if guest.calls == 1:
            self._is_complete_without()
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():  # as a timeout in the middleware does
                self._here = [one for one in self._here if one[2] is not answer]
                self._leave(guest)
            raise

    def finish(self) -> None:
        self._unfinished -= 1
        self._is_complete_without()

    def _leave(self, guest: "_Guest") -> None:
        guest.calls -= 1
        self._on_the_way += not guest.calls

    def _is_complete_without(self) -> None:
        self._on_the_way -= 1
        if not self._on_the_way:
            self._complete.set()


class _Guest:
    """One value, with its middleware."""

    def __init__(self, meeting: _Meeting, value: Any, context: Context) -> None:
        self.context = context
        self.calls = 0  # of the agent, that run or wait for others
        self.result: Any = None
        self.has_ended = False
        self._meeting = meeting
        self._value = value

    async def run(self, around: Callable[[Call], Call]) -> None:
        watch = Watch()
        try:
            self.result = await around(self._call)(self._value, self.context)
        except BaseException as raised:  # noqa: BLE001 - middleware may raise anything
            self.result = watch.failure(raised, "middleware")
        self.has_ended = True
        self._meeting.finish()

    async def _call(self, data: Any, _context: Context) -> Any:
        return result_of_item(await self._meeting.pass_on(self, data))
