"""The lives of agents with clients: one task opens an agent, waits, and closes it.

Task groups and cancel scopes have to be left in the task that entered them, so an agent may hold
them from `open` to `close` only if both run in the same one.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from typing import Any

from streamapp.errors import AgentSetupError, ConfigurationError, StageError
from streamapp.pipeline.agent import Agent, Lifecycle
from streamapp.policies.describe import describe

log = logging.getLogger(__name__)

CANCELLED_SECONDS = 1.0
"""How long an agent that is cancelled while it opens or closes may take to end."""


class OpenAgents:
    """The agents that are open, in the order in which they were opened.

    Args:
        open_seconds: longest wait for one agent to open.
        close_seconds: longest wait for one agent to close.
        on_lost: called when an agent ends before it was told to close, because what it has opened
            cancelled its task. It is closed then.

    Attributes:
        context: variables (`contextvars`) of the caller, and those that agents set when they open.
    """

    def __init__(
        self,
        *,
        open_seconds: float,
        close_seconds: float,
        on_lost: Callable[[Lifecycle], None],
    ) -> None:
        self.context = copy_context()
        self._open_seconds = open_seconds
        self._close_seconds = close_seconds
        self._on_lost = on_lost
        self._lives: list[_Life] = []
        self._lost: list[_Life] = []
        self._opening: _Life | None = None
        self._stopping = self._closing = False

    async def open(self, agents: Iterable[tuple[str, Agent[Any, Any]]]) -> None:
        """Open agents one after the other, each object once, until `stop_opening` is called.

        Args:
            agents: names of stages, each with its agent; errors name the first stage of an agent.

        Raises:
            AgentSetupError: an agent cannot open as it is configured.
            StageError: an agent failed to open, or took longer than the deadline. Those that were
                opened before are still to be closed.
        """
        for stage_id, agent in agents:
            lifecycle = agent.lifecycle
            if self._stopping:
                return
            if lifecycle is None or any(life.lifecycle is lifecycle for life in self._lives):
                continue
            name = f"agent {agent.name!r} of stage {stage_id!r}"
            life = self._opening = _Life(lifecycle, stage_id, name, self._lose)
            self._lives.append(life)
            try:
                await life.open(self._open_seconds, self.context)
            finally:
                self._opening = None

    async def close_all_but(self, agents: Iterable[Agent[Any, Any]]) -> None:
        """Close those that are none of these agents, the last one first; a failure is logged."""
        kept = {id(agent.lifecycle) for agent in agents}
        gone = [life for life in self._lives if id(life.lifecycle) not in kept]
        self._lives = [life for life in self._lives if life not in gone]
        for life in gone:
            life.is_given_up = True
        async with AsyncExitStack() as stack:
            for life in gone:
                stack.push_async_callback(life.close, self._close_seconds)

    def stop_opening(self) -> None:
        """Cancel the agent that opens now, and open no other; those that are open stay so."""
        self._stopping = True
        if self._opening is not None:
            self._opening.cancel_opening()

    async def close(self) -> None:
        """Close the agents that were opened, in the opposite order; a failure is only logged."""
        self._closing = True
        async with AsyncExitStack() as stack:  # one that fails keeps no other from being closed
            for life in self._lives:
                stack.push_async_callback(life.close, self._close_seconds)

    def lost(self) -> Sequence[StageError]:
        """Why agents have ended before they were told to, once all are closed."""
        return [life.error() for life in self._lost]

    def _lose(self, life: "_Life") -> None:
        if self._closing or life.is_given_up:
            return  # it was about to be closed anyway
        life.is_lost = True
        self._lost.append(life)
        self._on_lost(life.lifecycle)


class _Life:
    """The life of one agent, in a task of its own.

    Attributes:
        lifecycle: the agent's object.
        is_lost: whether it has ended too early, which is told by `error` and not logged.
        is_given_up: whether nobody needs it any more.

    Args:
        lifecycle: the agent's object.
        stage_id: the stage that errors name.
        name: the agent and its stage in words.
        on_lost: called when the task was cancelled although nobody asked for it.
    """

    def __init__(
        self, lifecycle: Lifecycle, stage_id: str, name: str, on_lost: Callable[["_Life"], None]
    ) -> None:
        self.lifecycle = lifecycle
        self.is_lost = self.is_given_up = False
        self._stage_id = stage_id
        self._name = name
        self._on_lost = on_lost
        self._is_open = False
        self._opened = asyncio.Event()  # or has failed to
        self._ended = asyncio.Event()
        self._told_to_close = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self, seconds: float, context: Context) -> None:
        """Open the agent; `cancel_opening` ends that without an error.

        Raises:
            AgentSetupError: its configuration is wrong.
            StageError: it failed to open, or took longer.
        """
        self._task = asyncio.create_task(self._run(), name=self._name, context=context)
        self._task.add_done_callback(self._task_ended)
        try:
            async with asyncio.timeout(seconds):
                await self._opened.wait()
        except TimeoutError as error:
            raise self._error(f"did not open within {seconds:g} s", error) from error
        finally:
            if not self._is_open:
                await self._cancel(self._task, self._opened)
        if not self._is_open and (failure := _error_of(self._task)):
            raise self._not_opened(failure) from failure

    def cancel_opening(self) -> None:
        """Cancel the task if it still opens the agent."""
        if self._task is not None and not self._is_open:
            self._task.cancel()

    async def close(self, seconds: float) -> None:
        """Close the agent, if it was opened, within so many seconds; failures are logged."""
        self._told_to_close.set()
        if self._task is None or not self._is_open:
            return
        try:
            done, _ = await asyncio.wait({self._task}, timeout=seconds)
        except asyncio.CancelledError:
            await self._cancel(self._task, self._ended)
            raise
        if not done:
            log.warning("the %s did not close within %g s", self._name, seconds)
            await self._cancel(self._task, self._ended)
        elif (error := _error_of(self._task)) and not self.is_lost:
            log.warning("the %s failed to close: %s", self._name, _in_words(error))

    def error(self) -> StageError:
        """What to say of an agent that ended before it was told to, once it is closed."""
        cause = _error_of(self._task) if self._task is not None else None
        told = _in_words(cause) if cause else "its task was cancelled"
        ended = self._error(f"has ended while its stage ran: {told}", cause)
        ended.__cause__ = cause
        return ended

    async def _run(self) -> None:
        await self.lifecycle.open()
        self._is_open = True
        self._opened.set()
        try:
            await self._told_to_close.wait()
        except asyncio.CancelledError:
            # A task group that the agent holds has cancelled it, because a task in it has failed.
            # The group raises that error when it is left, so no time is to be lost before `close`.
            self._on_lost(self)
        await self.lifecycle.close()

    async def _cancel(self, task: "asyncio.Task[None]", ended: asyncio.Event) -> None:
        """Cancel the task and wait a little for what ends then."""
        task.cancel()
        try:
            async with asyncio.timeout(CANCELLED_SECONDS):
                await ended.wait()
        except TimeoutError:
            log.warning("the %s does not end although it was cancelled", self._name)

    def _task_ended(self, _: "asyncio.Task[None]") -> None:
        self._opened.set()
        self._ended.set()

    def _not_opened(self, failure: BaseException) -> StageError:
        """What to say of an agent that failed to open: whether its configuration is at fault."""
        cause = _first(failure)
        kind = AgentSetupError if isinstance(cause, ConfigurationError) else StageError
        return self._error(f"could not be opened: {_in_words(cause)}", failure, kind)

    def _error(
        self, what: str, cause: BaseException | None, kind: type[StageError] = StageError
    ) -> StageError:
        return kind(f"the {self._name} {what}", stage_id=self._stage_id, original_error=cause)


def _error_of(task: "asyncio.Task[None]") -> BaseException | None:
    """What a task has failed with, if it has ended and was not cancelled."""
    return task.exception() if task.done() and not task.cancelled() else None


def _in_words(error: BaseException) -> str:
    """Class and message of an error; of a group those of its first."""
    error = _first(error)
    return f"{type(error).__name__}: {describe(error)}"


def _first(error: BaseException) -> BaseException:
    """The first error of a group, as task groups raise it, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
