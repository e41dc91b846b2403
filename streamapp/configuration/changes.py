"""Adds entries to the data of a configuration file, and takes some away; saves nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.check import Fault, check
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import SHIPPED, registry_of
from streamapp.configuration.file import ConfigurationFile, tell_faults
from streamapp.configuration.given_entries import GivenEntries
from streamapp.configuration.pipeline_faults import PipelineLint
from streamapp.configuration.placed import agent_faults, shown
from streamapp.configuration.still_read import still_read
from streamapp.errors import ConfigurationError
from streamapp.registry.choices import Choices
from streamapp.registry.instantiate import Meanings, make_agent
from streamapp.registry.nearest import did_you_mean

AGENTS = "data_agents"
PIPELINES = "data_pipelines"


@dataclass(frozen=True, slots=True)
class Change:
    """What a configuration file would be after a change.

    Attributes:
        data: its whole content, as plain values.
        configuration: what it would say; its agents may come from the same packages as before.
    """

    data: Mapping[str, Any]
    configuration: Configuration


def with_entries(file: ConfigurationFile, given: GivenEntries, *, replace: bool) -> Change:
    """A file with entries added to a section, all of them or none; imports nothing.

    Args:
        file: what was read.
        given: the entries.
        replace: whether they take the place of others of their names.

    Raises:
        ConfigurationError: one line for each fault, with its place in what was given.
    """
    declared = file.document.data.get(given.section, {})
    data = {**file.document.data, given.section: {**declared, **given.entries}}
    checked = check(data, {})
    taken = [] if replace else _taken(declared, given)
    given.refuse([*taken, *checked.faults])
    if checked.right is None:  # pragma: no cover - then there are faults
        raise ConfigurationError(f"{file.path}: the change is refused")
    now = file.configuration
    return Change(data, checked.right.allowing(now.allowed_packages).within(now.folder))


def without_agents(file: ConfigurationFile, agent_ids: Sequence[str]) -> Mapping[str, Any]:
    """The data of a file without some of its agents.

    Raises:
        ConfigurationError: there is no such agent in it, or a pipeline needs it: one line for each
            place.
    """
    for agent_id in agent_ids:
        _require_declared(file, agent_id)
    declared = file.document.data.get(AGENTS, {})
    kept = {name: fields for name, fields in declared.items() if name not in agent_ids}
    data = {**file.document.data, AGENTS: kept}
    if faults := check(data, {}).faults:
        needed = [(at, f"{shown(at)} needs this agent; change it first") for at, _ in faults]
        raise ConfigurationError("\n".join(tell_faults(file.path, file.document, needed)))
    return data


def without_pipelines(
    file: ConfigurationFile, names: Sequence[str], *, even_if_read: bool = False
) -> Mapping[str, Any]:
    """The data of a file without some of its pipelines.

    Args:
        file: what was read.
        names: names of the pipelines.
        even_if_read: whether others may go on to read topics that only these write.

    Raises:
        ConfigurationError: there is no such pipeline in it, or another one needs it: one line for
            each place.
    """
    pipelines = file.configuration.data_pipelines
    for name in names:
        if name not in pipelines:
            near = did_you_mean(name, pipelines)
            raise ConfigurationError(f"there is no pipeline {name!r} in {file.path}; {near}")
    needed = [] if even_if_read else list(still_read(pipelines, names))
    declared = file.document.data.get(PIPELINES, {})
    kept = {name: fields for name, fields in declared.items() if name not in names}
    data = {**file.document.data, PIPELINES: kept}
    if needed := [*needed, *check(data, {}).faults]:
        raise ConfigurationError("\n".join(tell_faults(file.path, file.document, needed)))
    return data


def require_makeable(change: Change, given: GivenEntries) -> None:
    """Require that the agents or pipelines that were added can be made; makes each of them once.

    Raises:
        ConfigurationError: one line for each that cannot, with its place in what was given.
    """
    of = _agents_not_made if given.section == AGENTS else _pipelines_not_made
    given.refuse(of(change.configuration, given))


def _taken(declared: Mapping[str, Any], given: GivenEntries) -> Iterator[Fault]:
    known = {*declared, *(SHIPPED if given.section == AGENTS else ())}
    for name in given.entries:
        if name in known:
            where = (given.section, name)
            told = "there is one of this name already; choose another, or give --replace"
            yield where, f"{shown(where)}: {told}"


def _agents_not_made(configuration: Configuration, given: GivenEntries) -> Iterator[Fault]:
    importer = importer_of(configuration.allowed_packages)
    registry = registry_of(configuration)
    meanings: Meanings = {}
    for agent_id in given.entries:
        where = (AGENTS, agent_id)
        definition = configuration.data_agents[agent_id]
        try:
            importer.require_allowed(definition.module_path, definition.agent_class)
            make_agent(registry, agent_id, meanings=meanings)
        except ConfigurationError as error:
            yield from agent_faults(where, error)


def _pipelines_not_made(configuration: Configuration, given: GivenEntries) -> Iterator[Fault]:
    looked = PipelineLint(configuration, Choices(registry_of(configuration)))
    for name in given.entries:
        yield from looked.placed_faults(name)


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
