"""`when(predicate, agent)`: a case of `choose`."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.types import check_agents
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import bare, fits, type_name
from streamapp.pipeline.signature import CallSignature, Shape, inspect_call, name_of

InT = TypeVar("InT")
OutT = TypeVar("OutT")
InT_contra = TypeVar("InT_contra", contravariant=True)
OutT_co = TypeVar("OutT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class When(Generic[InT_contra, OutT_co]):
    """An agent and when it is chosen; made by `when`.

    Attributes:
        predicate: takes a value, and a `Context` if `takes_context`; says whether it is chosen.
        takes_context: whether the predicate takes a `Context`.
        agent: the agent.
    """

    predicate: Callable[..., bool]
    takes_context: bool
    agent: Agent[InT_contra, OutT_co]

    def __call__(self, value: Any, context: Context | None) -> bool:
        """Whether the agent is chosen for a value."""
        answer: object = (
            self.predicate(value, context) if self.takes_context else self.predicate(value)
        )
        if answer is True or answer is False:
            return answer
        if inspect.isawaitable(answer):  # which would be true, whatever it waits for
            if inspect.iscoroutine(answer):
                answer.close()
            raise TypeError(f"the predicate {name_of(self.predicate)} has to be awaited")
        return bool(answer)


@overload
def when(predicate: Callable[[InT], bool], agent: Agent[InT, OutT]) -> When[InT, OutT]: ...
@overload
def when(predicate: Callable[[InT, Context], bool], agent: Agent[InT, OutT]) -> When[InT, OutT]: ...
def when(predicate: Callable[..., bool], agent: Agent[Any, Any]) -> When[Any, Any]:
    """Say when an agent is chosen.

    Args:
        predicate: a plain function of the value, or of the value and the `Context`. It looks at the
            value and leaves it as it is: the chosen agent gets the same one.
        agent: the agent.

    Raises:
        PipelineError: the predicate is async, takes other arguments, or takes another type than the
            agent.
    """
    check_agents("when()", [agent])
    where = f"when({name_of(predicate)}, {agent.name!r})"
    takes_context, found = _signature(predicate)
    if found is None:
        raise PipelineError(f"{where}: a predicate takes a value, or a value and a Context")
    if found.shape is not Shape.PLAIN:
        raise PipelineError(
            f"{where}: the predicate is async or a generator; make it a plain function, and look up"
            " what it needs in an agent before"
        )
    name, type_ = found.parameters[0]
    if not fits(agent.input_type, type_):
        raise PipelineError(
            f"{where}: the predicate takes {type_name(type_)} as {name!r}, but the agent takes"
            f" {type_name(agent.input_type)}"
        )
    return When(predicate, takes_context, agent)


def _signature(predicate: Callable[..., bool]) -> tuple[bool, CallSignature | None]:
    """Whether a predicate takes a context, and how it is called; no signature if it cannot be."""
    with_context = inspect_call(predicate, 2)
    second = bare(with_context.parameters[1][1]) if with_context is not None else None
    if second is Context:
        return True, with_context
    if (alone := inspect_call(predicate, 1)) is not None:
        return False, alone
    return True, with_context if second is Any else None
