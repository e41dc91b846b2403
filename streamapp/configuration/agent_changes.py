"""Adds agents to the data of a configuration file, and takes some away; saves nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.check import Fault, check, shown
from streamapp.configuration.declared_agents import SHIPPED, registry_of
from streamapp.configuration.file import ConfigurationFile, tell_faults
from streamapp.configuration.given_agents import GivenAgents
from streamapp.configuration.sections import Configuration
from streamapp.errors import ConfigurationError
from streamapp.registry.instantiate import Meanings, make_agent
from streamapp.registry.nearest import did_you_mean

SECTION = "data_agents"


def with_agents(
    file: ConfigurationFile, given: GivenAgents, *, replace: bool, imports: bool
) -> dict[str, Any]:
    """The data of a file with agents added, all of them or none.

    Args:
        file: what was read.
        given: the agents.
        replace: whether they take the place of others of their ids.
        imports: make each of them once, imported from an allowed package.

    Raises:
        ConfigurationError: one line for each fault, with its place in what was given.
    """
    declared = file.document.data.get(SECTION, {})
    data = {**file.document.data, SECTION: {**declared, **given.definitions}}
    configuration, faults, _ = check(data, {})
    taken = [] if replace else _taken({**SHIPPED, **declared}, given)
    given.refuse([*taken, *faults])
    if configuration is not None and imports:
        allowed = configuration.allowing(file.configuration.allowed_packages)
        given.refuse(_cannot_be_made(allowed, given))
    return data


def without_agents(file: ConfigurationFile, agent_ids: Sequence[str]) -> dict[str, Any]:
    """The data of a file without some of its agents.

    Raises:
        ConfigurationError: there is no such agent in it, or a pipeline needs it: one line for each
            place.
    """
    declared = file.document.data.get(SECTION, {})
    for agent_id in agent_ids:
        _require_declared(file, agent_id)
    kept = {name: fields for name, fields in declared.items() if name not in agent_ids}
    data = {**file.document.data, SECTION: kept}
    _, faults, _ = check(data, {})
    if faults:
        needed = [
            (where, f"{shown(where)} needs this agent; change it first") for where, _ in faults
        ]
        raise ConfigurationError("\n".join(tell_faults(file.path, file.document, needed)))
    return data


def _taken(known: Mapping[str, Any], given: GivenAgents) -> Iterator[Fault]:
    for agent_id in given.definitions:
        if agent_id in known:
            where = (SECTION, agent_id)
            told = "there is an agent of this id already; choose another id, or give --replace"
            yield where, f"{shown(where)}: {told}"


def _cannot_be_made(configuration: Configuration, given: GivenAgents) -> Iterator[Fault]:
    importer = importer_of(configuration.allowed_packages)
    registry = registry_of(configuration)
    meanings: Meanings = {}
    for agent_id in given.definitions:
        where = (SECTION, agent_id)
        definition = configuration.data_agents[agent_id]
        try:
            importer.require_allowed(definition.module_path, definition.agent_class)
            make_agent(registry, agent_id, meanings=meanings)
        except ConfigurationError as error:
            yield where, f"{shown(where)}: {error}"


def _require_declared(file: ConfigurationFile, agent_id: str) -> None:
    declared = file.configuration.data_agents
    if agent_id in declared:
        return
    if agent_id in SHIPPED:
        raise ConfigurationError(
            f"{agent_id!r} ships with streamapp, and is not in {file.path}; a pipeline can exclude"
            " it"
        )
    near = did_you_mean(agent_id, declared)
    raise ConfigurationError(f"there is no agent {agent_id!r} in {file.path}; {near}")
