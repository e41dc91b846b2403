"""Calls of parts in tasks: every task has ended before the call that started it ends."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from streamapp.clock import current_clock
from streamapp.pipeline.agent_call import CANCEL_AGAIN_SECONDS
from streamapp.policies.gravest import NOT_OF_THE_AGENT, as_failure, gravest
from streamapp.policies.policy import retry

Call: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]

_NO_RULES = retry(0)


class Watch:
    """Tells failures of parts from the cancellation of the attempt; made when a call begins.

    A part that catches its cancellation and then fails must not be tried again, nor be followed by
    another, so what counts is whether the task has been cancelled since.
    """

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # called outside of any event loop, where nothing is cancelled
            self._task = None
        self._before = self._task.cancelling() if self._task is not None else 0

    def failure(self, raised: BaseException, name: str) -> Exception:
        """What a part raised, as a failure that a policy can decide about.

        Raises:
            BaseException: it is no failure of the part: the attempt is cancelled, or the process
                ends.
        """
        if isinstance(raised, NOT_OF_THE_AGENT):
            raise raised
        if self._task is not None and self._task.cancelling() > self._before:
            raise raised if isinstance(raised, asyncio.CancelledError) else asyncio.CancelledError
        if isinstance(raised, asyncio.CancelledError):
            return RuntimeError(f"agent {name!r} cancelled itself")
        return as_failure(raised)


async def all_of(calls: Sequence[tuple[str, Call]]) -> list[Any]:
    """Make named calls side by side, and return their results in the order of the calls.

    Raises:
        Exception: what a call raised; the others are cancelled and have ended. Of several that
            failed at once, the gravest.
        asyncio.CancelledError: this was cancelled; all calls have ended.
    """
    tasks = [asyncio.create_task(_guarded(name, call), name=name) for name, call in calls]
    try:
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            await end(tasks)
            raise
        if failures := [error for task in tasks if (error := _failure_of(task)) is not None]:
            await end(tasks)
            raise _gravest(failures)
        return [task.result() for task in tasks]
    finally:
        del tasks  # an error refers to this frame, which should not refer to the error


async def within(seconds: float, name: str, call: Call) -> Any:
    """Make a call that is cancelled when it takes longer; the current clock measures.

    Raises:
        TimeoutError: it took longer, and has ended since.
        Exception: what it raised.
    """
    task = asyncio.create_task(_guarded(name, call), name=name)
    timer = asyncio.create_task(current_clock().sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        in_time = task.done()
    finally:
        await end((task, timer))
    if not in_time:
        raise TimeoutError(f"{name!r} took longer than {seconds:g} s")
    return task.result()


async def end(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and wait until all have ended.

    They are cancelled again when this is cancelled, and every few seconds: a part may catch a
    cancellation, and Python 3.11 can lose one.

    Raises:
        asyncio.CancelledError: this was cancelled meanwhile; all have ended.
    """
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
        except asyncio.CancelledError:
            cancelled = True
    for task in tasks:
        _failure_of(task)  # else asyncio would log that nobody has asked
    if cancelled:
        raise asyncio.CancelledError


async def _guarded(name: str, call: Call) -> Any:
    """Make a call in a task, out of which no `SystemExit` may come: it would end the event loop."""
    watch = Watch()
    try:
        return await call()
    except BaseException as raised:
        failure = watch.failure(raised, name)
        if failure is raised:
            raise
        raise failure from raised


def gravest_of(error: Exception) -> Exception:
    """The error itself; of a group, the gravest in it."""
    return gravest(error, _NO_RULES)


def _gravest(failures: Sequence[Exception]) -> Exception:
    """The one failure, as it was raised; of several, the gravest."""
    if len(failures) == 1:
        return failures[0]
    return gravest_of(ExceptionGroup("branches failed", failures))


def _failure_of(task: "asyncio.Task[Any]") -> Exception | None:
    if not task.done() or task.cancelled():
        return None
    error = task.exception()
    return error if isinstance(error, Exception) else None
