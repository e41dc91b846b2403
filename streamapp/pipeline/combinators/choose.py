"""`choose(when(predicate, agent), otherwise=agent)`: which agent works is decided by the value."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, overload

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.combined import combined
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.combinators.types import (
    any_output,
    any_results,
    check_agents,
    common_input,
)
from streamapp.pipeline.combinators.when import When
from streamapp.pipeline.context import Context

InT = TypeVar("InT")
T0 = TypeVar("T0")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")


@overload
def choose(
    c1: When[InT, T1], /, *, otherwise: Agent[InT, T0], name: str | None = None
) -> Agent[InT, T0 | T1]: ...
@overload
def choose(
    c1: When[InT, T1],
    c2: When[InT, T2],
    /,
    *,
    otherwise: Agent[InT, T0],
    name: str | None = None,
) -> Agent[InT, T0 | T1 | T2]: ...
@overload
def choose(
    c1: When[InT, T1],
    c2: When[InT, T2],
    c3: When[InT, T3],
    /,
    *,
    otherwise: Agent[InT, T0],
    name: str | None = None,
) -> Agent[InT, T0 | T1 | T2 | T3]: ...
@overload
def choose(
    c1: When[InT, T1],
    c2: When[InT, T2],
    c3: When[InT, T3],
    c4: When[InT, T4],
    /,
    *,
    otherwise: Agent[InT, T0],
    name: str | None = None,
) -> Agent[InT, T0 | T1 | T2 | T3 | T4]: ...
@overload
def choose(
    c1: When[InT, T1],
    c2: When[InT, T2],
    c3: When[InT, T3],
    c4: When[InT, T4],
    c5: When[InT, T5],
    /,
    *,
    otherwise: Agent[InT, T0],
    name: str | None = None,
) -> Agent[InT, T0 | T1 | T2 | T3 | T4 | T5]: ...
@overload
def choose(
    c1: When[InT, T1],
    c2: When[InT, T2],
    c3: When[InT, T3],
    c4: When[InT, T4],
    c5: When[InT, T5],
    c6: When[InT, T6],
    /,
    *,
    otherwise: Agent[InT, T0],
    name: str | None = None,
) -> Agent[InT, T0 | T1 | T2 | T3 | T4 | T5 | T6]: ...
@overload
def choose(
    c1: When[InT, T1],
    c2: When[InT, T2],
    c3: When[InT, T3],
    c4: When[InT, T4],
    c5: When[InT, T5],
    c6: When[InT, T6],
    c7: When[InT, T7],
    /,
    *,
    otherwise: Agent[InT, T0],
    name: str | None = None,
) -> Agent[InT, T0 | T1 | T2 | T3 | T4 | T5 | T6 | T7]: ...
def choose(
    *cases: When[Any, Any], otherwise: Agent[Any, Any], name: str | None = None
) -> Agent[Any, Any]:
    """Make an agent that gives each value to the first agent whose predicate says so.

    Args:
        cases: made by `when`, asked in this order; types are checked up to eight agents.
        otherwise: works if no predicate holds.
        name: name of the agent; by default those of its agents, joined by `-or-`.

    Raises:
        PipelineError: there is no case, inputs differ, or one agent gives bytes and another JSON.
    """
    for case in cases:
        if not isinstance(case, When):
            raise PipelineError("choose() takes cases; make each with when(predicate, agent)")
    if not cases:
        raise PipelineError("choose() has no case; give when(predicate, agent)")
    agents = (*(case.agent for case in cases), otherwise)
    check_agents("choose()", agents)
    name = name or "-or-".join(agent.name for agent in agents)
    where = f"choose {name!r}"
    parts = [Part(agent) for agent in agents]
    yields = any(part.yields for part in parts)
    return combined(
        "choose",
        name,
        agents,
        _outputs(cases, parts) if yields else _result(cases, parts),
        yields=yields,
        takes_context=any(case.takes_context for case in cases),
        input_type=common_input(where, agents),
        output_type=any_output(where, agents),
        results=any_results(agents),
    )


def _chosen(
    cases: Sequence[When[Any, Any]], parts: Sequence[Part], value: Any, context: Context | None
) -> Part:
    for case, part in zip(cases, parts, strict=False):  # the last part has no case
        if case(value, context):
            return part
    return parts[-1]


def _result(cases: Sequence[When[Any, Any]], parts: Sequence[Part]) -> Any:
    async def run(value: Any, context: Context | None = None) -> Any:
        return await _chosen(cases, parts, value, context).result(value, context)

    return run


def _outputs(cases: Sequence[When[Any, Any]], parts: Sequence[Part]) -> Any:
    async def run(value: Any, context: Context | None = None) -> AsyncGenerator[Any, None]:
        part = _chosen(cases, parts, value, context)
        async with aclosing(part.outputs(value, context)) as outputs:
            async for one in outputs:
                yield one

    return run
