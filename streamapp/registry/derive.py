"""The definition of an agent that exists in code."""

import inspect
from typing import Any

from pydantic import ValidationError

from streamapp.errors import RegistryError
from streamapp.pipeline.agent import Agent, first_line, walk
from streamapp.pipeline.signature import innermost
from streamapp.registry.agent_class import capabilities_of, configuration_model, signature_of
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.faults import sentences
from streamapp.registry.schemas import Schemas

AnAgent = Agent[Any, Any] | type[Any]
"""An agent, or a class whose objects are agents."""


def definition_of(
    given: AnAgent, schemas: Schemas, agent_id: str | None = None, **fields: Any
) -> AgentDefinition:
    """The definition of an agent or of a class of agents.

    Args:
        given: the agent, or the class.
        schemas: where its types get names.
        agent_id: its id; by default the name of the agent, or of the class.
        fields: further fields of the definition, which replace what is derived.

    Raises:
        RegistryError: its name cannot be an id, a field is wrong, or it is no agent.
    """
    if isinstance(given, Agent):
        derived = _of_agent(given, schemas)
    elif inspect.isclass(given):
        derived = _of_class(given, schemas)
    else:
        raise RegistryError(
            f"{given!r} is no agent; give an agent, a class with __call__, or an AgentDefinition"
        )
    if agent_id is not None:
        derived["agent_id"] = agent_id
    try:
        return AgentDefinition.model_validate({**derived, **fields})
    except ValidationError as error:
        faults = "; ".join(sentences(error, AgentDefinition, f"agent {derived['agent_id']!r}"))
    raise RegistryError(faults)


def modules_of(given: AnAgent) -> list[str]:
    """Where the code of an agent and its parts was written; of a class, where the class was."""
    if not isinstance(given, Agent):
        return [str(given.__module__)]
    leaves = [one for one in walk(given) if not one.parts]
    return [module_of(one.function) for one in leaves]


def module_of(function: Any) -> str:
    """Name of the module in which a function, or the class of an object, was written."""
    inner = innermost(function)
    of_object = inner if inspect.isroutine(inner) else type(inner)
    return str(getattr(of_object, "__module__", ""))


def _of_agent(given: Agent[Any, Any], schemas: Schemas) -> dict[str, Any]:
    inner = innermost(given.function)
    name = str(getattr(inner, "__name__", type(inner).__name__))
    return {
        "agent_id": given.name,
        "agent_class": name if name.isidentifier() else "agent",
        "module_path": _dotted(module_of(given.function)),
        "capabilities": tuple(given.capabilities),
        "input_schema": schemas.reference(given.input_type),
        "output_schema": schemas.reference(given.output_type),
        "description": given.description,
    }


def _of_class(given: type[Any], schemas: Schemas) -> dict[str, Any]:
    signature = signature_of(given)
    configuration_model(given)  # raises now, and not when the first object is made
    return {
        "agent_id": given.__name__,
        "agent_class": given.__name__,
        "module_path": _dotted(str(given.__module__)),
        "capabilities": capabilities_of(given),
        "input_schema": schemas.reference(signature.input_type),
        "output_schema": schemas.reference(signature.output_type),
        "description": first_line(given),
    }


def _dotted(module: str) -> str:
    return module if all(part.isidentifier() for part in module.split(".")) else "unknown"
