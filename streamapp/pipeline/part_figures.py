"""Counts the calls of the parts of an agent, for the stage that calls it.

An agent that is made of others is a value, which several stages may share. So its parts do not keep
figures themselves: the stage says, for the time of each call, where they are to be counted.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from streamapp.clock import current_clock
from streamapp.observability.stage_metrics import PartFigures
from streamapp.pipeline.agent import Agent, walk
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.gravest import as_failure, gravest
from streamapp.policies.policy import retry

Figures = Mapping[str, PartFigures]

_NO_RULES = retry()

_NOWHERE: Figures = {}
_counted: ContextVar[Figures] = ContextVar("streamapp_part_figures")


def no_figures(agent: Agent[Any, Any]) -> dict[str, PartFigures]:
    """Figures of each part of an agent, all zero, by the name of the part."""
    return {part.name: PartFigures() for part in walk(agent) if part is not agent}


class _Call:
    """A call of a part, counted from its beginning to its end."""

    __slots__ = ("_clock", "_figures", "_started")

    def __init__(self, figures: PartFigures) -> None:
        self._figures = figures
        self._clock = current_clock()

    def __enter__(self) -> None:
        self._figures.calls += 1
        self._started = self._clock.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._figures.seconds += self._clock.monotonic() - self._started
        if isinstance(error, Exception):
            self._figures.failures += 1
            if whose_fault(gravest(as_failure(error), _NO_RULES)) is not Fault.RECORD:
                self._figures.blamed += 1
        elif error is not None:
            self._figures.cancelled += 1


_NOT_COUNTED = nullcontext()


def counted(name: str) -> AbstractContextManager[None]:
    """Count a call of a part, if its stage counts such calls."""
    own = _counted.get(_NOWHERE).get(name)
    return _NOT_COUNTED if own is None else _Call(own)


def not_counted() -> AbstractContextManager[None]:
    """Count nothing."""
    return _NOT_COUNTED


def counting(
    function: Callable[..., Any], figures: Figures, *, is_async: bool
) -> Callable[..., Any]:
    """The function, with the calls of parts within it counted in these figures."""

    def call(*args: Any) -> Any:
        token = _counted.set(figures)
        try:
            return function(*args)
        finally:
            _counted.reset(token)

    async def call_async(*args: Any) -> Any:
        token = _counted.set(figures)
        try:
            return await function(*args)
        finally:
            _counted.reset(token)

    return call_async if is_async else call
