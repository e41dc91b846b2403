"""The function that joins branches: how it is called, and whether it takes what they give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.fits import bare, fits, type_name
from streamapp.pipeline.signature import Results, Shape, inspect_call, name_of


@dataclass(frozen=True, slots=True)
class Join:
    """A checked function that joins.

    Attributes:
        function: takes the input and one output of each branch.
        is_async: whether its result is awaited.
        output_type: type of its output.
        results: what it may give.
    """

    function: Callable[..., Any]
    is_async: bool
    output_type: Any
    results: Results


def check_branches(agents: Sequence[Agent[Any, Any]]) -> None:
    """Require agents that give exactly one value each.

    Raises:
        PipelineError: one may give none or many, or gives `Out`.
    """
    for agent in agents:
        where = f"agent {agent.name!r} cannot be a branch: it"
        if bare(agent.output_type) is NoneType:
            raise PipelineError(f"{where} gives no outputs; make it a stage of its own")
        if agent.results.many:
            raise PipelineError(
                f"{where} may give several outputs, and a join takes one; return one model that"
                " holds them, or let it follow the join in a chain"
            )
        if agent.results.none:
            raise PipelineError(
                f"{where} may give no output; say what the join takes then,"
                " with `if_none` of a branch"
            )
        if agent.results.out:
            raise PipelineError(
                f"{where} gives Out, but its key, headers or route would be lost; return the bare"
                " value, and let the join return an Out"
            )


def checked_join(
    function: Callable[..., Any],
    input_type: Any,
    agents: Sequence[Agent[Any, Any]],
    output_type: Any,
) -> Join:
    """Check that a function takes the input and what the branches give.

    Raises:
        PipelineError: it does not, its output type is not known, or it gives many.
    """
    where = f"join {name_of(function)}"
    found = inspect_call(function, 1 + len(agents))
    if found is None:
        raise PipelineError(
            f"{where}: a join takes the input and one output of each branch, that is"
            f" {1 + len(agents)} parameters"
        )
    givers = [("the input is", input_type)]
    givers += [(f"branch {agent.name!r} gives", agent.output_type) for agent in agents]
    for (giver, given), (name, taken) in zip(givers, found.parameters, strict=True):
        if not fits(given, taken):
            raise PipelineError(
                f"{where} takes {type_name(taken)} as {name!r}, but {giver} {type_name(given)}"
            )
    if found.results.many:
        raise PipelineError(
            f"{where} gives several outputs; let it give one, and an agent after it several:"
            " chain(parallel(…).join(…), agent)"
        )
    output_type = output_type if output_type is not None else found.output_type
    if output_type is None:
        raise PipelineError(f"{where} has no return type; annotate it or give output_type=…")
    return Join(function, found.shape is Shape.ASYNC, output_type, found.results)
