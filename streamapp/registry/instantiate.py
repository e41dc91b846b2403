"""Makes agents of entries: imported if need be, configured, checked against their definition."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.config import ExtraValues

from streamapp.errors import AgentConfigurationError, RegistryError
from streamapp.pipeline.agent import Agent, Lifecycle, walk
from streamapp.pipeline.configured_path import FOLDER
from streamapp.registry.agent_class import configuration_model, made
from streamapp.registry.entry import Entry
from streamapp.registry.faults import placed_faults, sentences
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema

Meanings = dict[str, Schema]
"""What names of schemas mean that the registry does not know."""


def make_agent(
    registry: AgentRegistry,
    agent_id: str,
    overrides: Mapping[str, Any] | None = None,
    meanings: Meanings | None = None,
) -> Agent[Any, Any]:
    """Make an agent as its definition says; a pipeline opens it when it runs.

    The registry is as it was: what is chosen from it does not depend on what was made before.

    Args:
        registry: where it is defined.
        agent_id: its id, which becomes its name.
        overrides: values of its configuration, each in place of that of the definition.
        meanings: what names of schemas mean to the agents made before it; those that its definition
            uses first get their meaning from its types.

    Raises:
        RegistryError: there is no such agent, a value of its configuration is wrong, it could not
            be made, or it does not take and give what its definition says.
        ImportRefusedError: it may not be imported, or is no agent.
    """
    entry = registry.entry(agent_id)
    definition = entry.definition
    given = entry.given
    if given is None:
        given = registry.importer.agent(definition.module_path, definition.agent_class)
    values = {**definition.configuration, **(overrides or {})}
    if isinstance(given, Agent):
        _refuse_configuration(agent_id, values)
        capabilities = frozenset(definition.capabilities)
        agent = replace(given, name=agent_id, capabilities=capabilities)
    else:
        model = configuration_model(given)
        configuration = _configuration(agent_id, model, values, registry.folder)
        agent = made(given, configuration, agent_id, definition.capabilities)
    _check_types(registry, entry, agent, {} if meanings is None else meanings)
    return agent


async def instantiate(
    registry: AgentRegistry, agent_id: str, overrides: Mapping[str, Any] | None = None
) -> Agent[Any, Any]:
    """Make an agent and open its clients, to call it outside of a pipeline; close it afterwards.

    Raises:
        RegistryError: as `make_agent`, or it could not be opened; what was opened is closed.
    """
    agent = make_agent(registry, agent_id, overrides)
    async with AsyncExitStack() as stack:
        for lifecycle in _lifecycles(agent):
            try:
                await lifecycle.open()
            except Exception as error:
                raise RegistryError(
                    f"agent {agent_id!r} could not be opened: {type(error).__name__}: {error}"
                ) from error
            stack.push_async_callback(lifecycle.close)
        stack.pop_all()
    return agent


async def close(agent: Agent[Any, Any]) -> None:
    """Close the clients of an agent that `instantiate` has opened, the last one first."""
    async with AsyncExitStack() as stack:
        for lifecycle in _lifecycles(agent):
            stack.push_async_callback(lifecycle.close)


def _lifecycles(agent: Agent[Any, Any]) -> tuple[Lifecycle, ...]:
    """What is to be opened of an agent and its parts, each once."""
    found = [part.lifecycle for part in walk(agent)]
    return tuple({id(one): one for one in found if one is not None}.values())


def _refuse_configuration(agent_id: str, values: Mapping[str, Any]) -> None:
    if values:
        raise RegistryError(
            f"agent {agent_id!r}: {', '.join(map(repr, values))} cannot be set: it is an agent"
            " without configuration; make it a class with one"
        )


def _configuration(
    agent_id: str, model: type[BaseModel] | None, values: Mapping[str, Any], folder: Path | None
) -> BaseModel | None:
    if model is None:
        _refuse_configuration(agent_id, values)
        return None
    takes_others = model.model_config.get("extra") == "allow"
    extra: ExtraValues | None = None if takes_others else "forbid"
    try:
        return model.model_validate(dict(values), extra=extra, context={FOLDER: folder})
    except ValidationError as error:
        told = "\n".join(sentences(error, model, f"{agent_id}.configuration"))
        faults = tuple(placed_faults(error, model))
    raise AgentConfigurationError(told, faults)


def _check_types(
    registry: AgentRegistry, entry: Entry, agent: Agent[Any, Any], meanings: Meanings
) -> None:
    """Require the agent to take and give what its definition says."""
    schemas, check = registry.schemas, registry.check
    taken, given = schemas.of(agent.input_type), schemas.of(agent.output_type)
    input_ = _meaning(entry.input_, taken, meanings)
    output = _meaning(entry.output, given, meanings)
    where = f"agent {entry.agent_id!r}"
    if not check.fits(input_, taken):
        told = check.explain(input_, taken)
        raise RegistryError(
            f"{where} does not take its input_schema {entry.input_.name}: it takes {_shown(taken)};"
            f" {told}"
        )
    # A definition may say more than the type: that all outputs of a `dict` have certain fields.
    if not (check.fits(given, output) or check.fits(output, given)):
        told = check.explain(given, output)
        raise RegistryError(
            f"{where} does not give its output_schema {entry.output.name}: it gives"
            f" {_shown(given)}; {told}"
        )


def _shown(schema: Schema) -> str:
    """What an agent takes or gives, in words that need no Python where it may be any JSON."""
    return "any object" if schema.type_ in (dict, dict[str, Any]) else schema.name


def _meaning(schema: Schema, actual: Schema, meanings: Meanings) -> Schema:
    return schema if schema.is_bound else meanings.setdefault(schema.name, actual)
