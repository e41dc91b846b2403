"""Types of what combinators make, from the types of their parts."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from types import NoneType
from typing import Any

from streamapp.errors import PipelineError
from streamapp.pipeline.agent import Agent, Unfinished
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.fits import bare, fits, type_name
from streamapp.pipeline.signature import ONE_VALUE, Results
from streamapp.tombstones import value_type


def check_agents(where: str, values: Sequence[object]) -> None:
    """Require agents.

    Raises:
        PipelineError: one is none, or works on batches.
    """
    for value in values:
        if isinstance(value, Unfinished):
            raise PipelineError(f"{where} was given {value.told}")
        if not isinstance(value, Agent):
            name = getattr(value, "__name__", None) or f"a value of type {type(value).__name__}"
            raise PipelineError(f"{where} was given {name}; give agents, made with @agent")
        if value.batching is not None:
            raise PipelineError(
                f"{where} was given the batch agent {value.name!r}, whose batches only a stage can"
                " put together; make it a stage of its own"
            )


def common_input(where: str, agents: Sequence[Agent[Any, Any]]) -> Any:
    """The type of values that every agent takes: the narrowest of their input types.

    Raises:
        PipelineError: there is none.
    """
    types = [agent.input_type for agent in agents]
    for type_ in sorted(types, key=_is_anything):
        if all(fits(type_, other) for other in types):
            return type_
    told = ", ".join(f"{agent.name!r} takes {type_name(agent.input_type)}" for agent in agents)
    raise PipelineError(f"{where}: its agents have to take the same input, but {told}")


def any_output(where: str, agents: Sequence[Agent[Any, Any]]) -> Any:
    """The type of outputs of one agent or another: their one type, or a union.

    Raises:
        PipelineError: bytes would be in a union; they are no JSON.
    """
    types = [agent.output_type for agent in agents if bare(agent.output_type) is not NoneType]
    if not types:
        return NoneType
    if len({value_type(bare(type_)) is bytes for type_ in types}) > 1:
        raise PipelineError(
            f"{where}: an agent gives bytes and another does not; bytes and JSON cannot share a"
            " topic, so put one of the two into a model"
        )
    return reduce(or_, types)


def common_output(where: str, agents: Sequence[Agent[Any, Any]]) -> Any:
    """The type that every agent's outputs fit: the widest of their output types.

    Raises:
        PipelineError: there is none.
    """
    types = [agent.output_type for agent in agents]
    for type_ in types:
        if all(fits(other, type_) for other in types):
            return type_
    told = ", ".join(f"{agent.name!r} gives {type_name(agent.output_type)}" for agent in agents)
    raise PipelineError(f"{where}: its members have to give the same output, but {told}")


def any_results(agents: Sequence[Agent[Any, Any]]) -> Results:
    """What may come of any of the agents."""
    return reduce(or_, [agent.results for agent in agents], ONE_VALUE)


def all_capabilities(agents: Sequence[Agent[Any, Any]]) -> frozenset[Capability]:
    """Kinds of work that any of the agents offers."""
    return frozenset().union(*(agent.capabilities for agent in agents))


def _is_anything(type_: Any) -> bool:
    return fits(object, type_)
