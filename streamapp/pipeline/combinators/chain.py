"""`chain(a, b)`: agents in sequence as one agent, for a sequence within a branch or a choice."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import pairwise
from types import NoneType
from typing import Any, TypeVar, overload

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.combined import combined
from streamapp.pipeline.combinators.part import Part
from streamapp.pipeline.combinators.types import check_agents
from streamapp.pipeline.context import Context
from streamapp.pipeline.fits import bare, fits, type_name
from streamapp.pipeline.signature import Results

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
I = TypeVar("I")  # noqa: E741 - the ninth of nine


@overload
def chain(a: Agent[A, B], b: Agent[B, C], /, *, name: str | None = None) -> Agent[A, C]: ...
@overload
def chain(
    a: Agent[A, B], b: Agent[B, C], c: Agent[C, D], /, *, name: str | None = None
) -> Agent[A, D]: ...
@overload
def chain(
    a: Agent[A, B], b: Agent[B, C], c: Agent[C, D], d: Agent[D, E], /, *, name: str | None = None
) -> Agent[A, E]: ...
@overload
def chain(
    a: Agent[A, B],
    b: Agent[B, C],
    c: Agent[C, D],
    d: Agent[D, E],
    e: Agent[E, F],
    /,
    *,
    name: str | None = None,
) -> Agent[A, F]: ...
@overload
def chain(
    a: Agent[A, B],
    b: Agent[B, C],
    c: Agent[C, D],
    d: Agent[D, E],
    e: Agent[E, F],
    f: Agent[F, G],
    /,
    *,
    name: str | None = None,
) -> Agent[A, G]: ...
@overload
def chain(
    a: Agent[A, B],
    b: Agent[B, C],
    c: Agent[C, D],
    d: Agent[D, E],
    e: Agent[E, F],
    f: Agent[F, G],
    g: Agent[G, H],
    /,
    *,
    name: str | None = None,
) -> Agent[A, H]: ...
@overload
def chain(
    a: Agent[A, B],
    b: Agent[B, C],
    c: Agent[C, D],
    d: Agent[D, E],
    e: Agent[E, F],
    f: Agent[F, G],
    g: Agent[G, H],
    h: Agent[H, I],
    /,
    *,
    name: str | None = None,
) -> Agent[A, I]: ...
def chain(*agents: Agent[Any, Any], name: str | None = None) -> Agent[Any, Any]:
    """Make one agent of a sequence: each output of one goes through the next, in order.

    Every value is copied between two agents, unless nothing can change it. An agent that gives none
    ends the way of that value; one that gives many sends each through the agents that follow.

    Args:
        agents: two or more; types are checked up to eight.
        name: name of the agent; by default those of its agents, joined by `-then-`.

    Raises:
        PipelineError: an agent does not take what the one before it gives, or one that is not the
            last gives `Out`, whose key would be lost, or no outputs at all.
    """
    check_agents("chain()", agents)
    if len(agents) < 2:  # noqa: PLR2004 - a sequence
        raise PipelineError("chain() takes two or more agents")
    name = name or "-then-".join(agent.name for agent in agents)
    _check_neighbours(f"chain {name!r}", agents)
    parts = [Part(agent) for agent in agents]
    several = any(agent.results.many for agent in agents)
    return combined(
        "chain",
        name,
        agents,
        _flow(parts) if several else _straight(parts),
        yields=several,
        input_type=agents[0].input_type,
        output_type=agents[-1].output_type,
        results=Results(
            none=any(agent.results.none for agent in agents),
            many=several,
            out=agents[-1].results.out,
        ),
    )


def _check_neighbours(where: str, agents: Sequence[Agent[Any, Any]]) -> None:
    for agent, following in pairwise(agents):
        if agent.results.out:
            raise PipelineError(
                f"{where}: agent {agent.name!r} gives Out, but its key, headers or route would be"
                f" lost in {following.name!r}; make it the last one, or a stage"
            )
        if bare(agent.output_type) is NoneType:
            raise PipelineError(
                f"{where}: agent {agent.name!r} gives no outputs, so nothing would go through"
                f" {following.name!r}; make it the last one"
            )
        if not fits(agent.output_type, following.input_type):
            raise PipelineError(
                f"{where}: agent {following.name!r} takes {type_name(following.input_type)}, but"
                f" {agent.name!r} gives {type_name(agent.output_type)}"
            )


def _straight(parts: Sequence[Part]) -> Any:
    *firsts, last = parts

    async def run(value: Any, context: Context | None = None) -> Any:
        for part in firsts:
            result = await part.result(value, context)
            if result is None:
                return None
            value = part.copy_output(part.one_value(result))
        return await last.result(value, context)

    return run


def _flow(parts: Sequence[Part]) -> Any:
    part, *following = parts
    inner = _flow(following) if following else None

    async def run(value: Any, context: Context | None = None) -> AsyncGenerator[Any, None]:
        async with aclosing(part.outputs(value, context)) as outputs:
            async for one in outputs:
                if inner is None:
                    yield one
                    continue
                given = part.copy_output(part.one_value(one))
                async with aclosing(inner(given, context)) as results:
                    async for result in results:
                        yield result

    return run
