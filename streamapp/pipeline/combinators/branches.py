"""`parallel(a, b).join(f)`: agents that get the same input side by side, and one function after."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, TypeVarTuple, overload

from streamapp.errors import EncodeError, PipelineError
from streamapp.pipeline.agent import Agent, Unfinished, agent_name
from streamapp.pipeline.combinators.combined import combined
from streamapp.pipeline.combinators.copies import copier_for
from streamapp.pipeline.combinators.join import Join, check_branches, checked_join
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.combinators.tasks import all_of
from streamapp.pipeline.combinators.types import check_agents, common_input
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out

InT = TypeVar("InT")
Ts = TypeVarTuple("Ts")
R = TypeVar("R")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")
T8 = TypeVar("T8")


class Branches(Unfinished, Generic[InT, *Ts]):
    """Agents that get the same input; `join` makes one agent of them."""

    told = "parallel(…) without its join; add .join(f)"

    def __init__(self, agents: Sequence[Agent[Any, Any]]) -> None:
        self._agents = tuple(agents)
        self._input_type = common_input("parallel()", agents)

    # Type checkers take the first overload that fits, so the narrower ones come first.
    @overload
    def join(
        self,
        function: Callable[[InT, *Ts], Awaitable[Out[R] | None]],
        *,
        name: str | None = None,
        output_type: Any = None,
    ) -> Agent[InT, R]: ...
    @overload
    def join(
        self,
        function: Callable[[InT, *Ts], Awaitable[R | None]],
        *,
        name: str | None = None,
        output_type: Any = None,
    ) -> Agent[InT, R]: ...
    @overload
    def join(
        self,
        function: Callable[[InT, *Ts], Out[R] | None],
        *,
        name: str | None = None,
        output_type: Any = None,
    ) -> Agent[InT, R]: ...
    @overload
    def join(
        self,
        function: Callable[[InT, *Ts], R | None],
        *,
        name: str | None = None,
        output_type: Any = None,
    ) -> Agent[InT, R]: ...
    def join(
        self, function: Callable[..., Any], *, name: str | None = None, output_type: Any = None
    ) -> Agent[Any, Any]:
        """Make the agent that runs the branches and joins their outputs.

        Args:
            function: called exactly once, with the input and one output of each branch, in the
                order in which these were declared. It may be async, and may give one value, `None`
                or an `Out`.
            name: name of the agent; by default that of the function.
            output_type: type of its output, if that is not annotated.

        Raises:
            PipelineError: it does not take what the branches give, or may give many.
        """
        if not callable(function):
            raise PipelineError(f"parallel(…).join() was given {function!r}; give it a function")
        agents = self._agents
        join = checked_join(function, self._input_type, agents, output_type)
        run = _run([Part(agent) for agent in agents], join, self._input_type)
        return combined(
            "parallel",
            name or _name_of(function, agents),
            agents,
            run,
            waits=join.is_async,
            input_type=self._input_type,
            output_type=join.output_type,
            results=join.results,
        )


def _name_of(function: Callable[..., Any], agents: Sequence[Agent[Any, Any]]) -> str:
    name = agent_name(function)
    return name if name != "<lambda>" else "-and-".join(agent.name for agent in agents)


def _run(parts: Sequence[Part], join: Join, input_type: Any) -> Callable[..., Any]:
    copy_input = copier_for(input_type)
    # Where only one waits there is nothing to do beside it, and a task for each would be dear.
    waiting = [i for i, part in enumerate(parts) if part.is_async]
    plain = [(i, part) for i, part in enumerate(parts) if not part.is_async]

    async def one(part: Part, value: Any, context: Context | None) -> Any:
        return part.one_value(await part.result(value, context))

    async def run(value: Any, context: Context | None = None) -> Any:
        outputs = [copy_input(value) for _ in parts]
        if len(waiting) > 1:
            calls = [
                (part.name, partial(one, part, own, context))
                for part, own in zip(parts, outputs, strict=True)
            ]
            outputs = await all_of(calls)
        else:
            for i, part in plain:
                outputs[i] = part.one_value(part.result_at_once(outputs[i], context))
            for i in waiting:
                outputs[i] = await one(parts[i], outputs[i], context)
        result = join.function(value, *outputs)
        result = await result if join.is_async else result
        if type(result) is list:
            raise EncodeError("a join gave a list, and one output is all that it may give")
        return result

    return run


@overload
def parallel(a: Agent[InT, T1], /) -> Branches[InT, T1]: ...
@overload
def parallel(a: Agent[InT, T1], b: Agent[InT, T2], /) -> Branches[InT, T1, T2]: ...
@overload
def parallel(
    a: Agent[InT, T1], b: Agent[InT, T2], c: Agent[InT, T3], /
) -> Branches[InT, T1, T2, T3]: ...
@overload
def parallel(
    a: Agent[InT, T1], b: Agent[InT, T2], c: Agent[InT, T3], d: Agent[InT, T4], /
) -> Branches[InT, T1, T2, T3, T4]: ...
@overload
def parallel(
    a: Agent[InT, T1],
    b: Agent[InT, T2],
    c: Agent[InT, T3],
    d: Agent[InT, T4],
    e: Agent[InT, T5],
    /,
) -> Branches[InT, T1, T2, T3, T4, T5]: ...
@overload
def parallel(
    a: Agent[InT, T1],
    b: Agent[InT, T2],
    c: Agent[InT, T3],
    d: Agent[InT, T4],
    e: Agent[InT, T5],
    f: Agent[InT, T6],
    /,
) -> Branches[InT, T1, T2, T3, T4, T5, T6]: ...
@overload
def parallel(
    a: Agent[InT, T1],
    b: Agent[InT, T2],
    c: Agent[InT, T3],
    d: Agent[InT, T4],
    e: Agent[InT, T5],
    f: Agent[InT, T6],
    g: Agent[InT, T7],
    /,
) -> Branches[InT, T1, T2, T3, T4, T5, T6, T7]: ...
@overload
def parallel(
    a: Agent[InT, T1],
    b: Agent[InT, T2],
    c: Agent[InT, T3],
    d: Agent[InT, T4],
    e: Agent[InT, T5],
    f: Agent[InT, T6],
    g: Agent[InT, T7],
    h: Agent[InT, T8],
    /,
) -> Branches[InT, T1, T2, T3, T4, T5, T6, T7, T8]: ...
def parallel(*agents: Agent[Any, Any]) -> Branches[Any, *tuple[Any, ...]]:
    """Give agents the same input side by side; `.join(function)` makes one agent of them.

    Each has a copy of the input of its own, unless nothing can change it. All are awaited. The
    failure of one fails the attempt and cancels the others; `branch` gives one a timeout, retries
    or a default of its own. If no more than one of them waits, they run one after the other, that
    one last.

    Args:
        agents: each gives exactly one value; types are checked up to eight of them.

    Raises:
        PipelineError: an agent may give none or many or gives `Out`, or inputs differ.
    """
    if not agents:
        raise PipelineError("parallel() has no branch; give it agents")
    check_agents("parallel()", agents)
    check_branches(agents)
    return Branches(agents)
