"""Finds all that is wrong with a file: by reading it, and by making all that it declares once."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.changes import AGENTS
from streamapp.configuration.check import MOST_FAULTS, Fault
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.file import CheckedFile, ConfigurationFile, tell_faults
from streamapp.configuration.pipeline_faults import PipelineLint
from streamapp.configuration.placed import agent_faults, shown
from streamapp.configuration.printable import printable
from streamapp.configuration.warnings import PlacedWarning, Warnings
from streamapp.errors import ConfigurationError
from streamapp.registry.choices import Choices
from streamapp.registry.instantiate import Meanings, make_agent
from streamapp.registry.registry import AgentRegistry
from streamapp.secret_files import is_set


class FaultsError(ConfigurationError):
    """A file has faults.

    Attributes:
        warnings: what to know beside them, as `lint` returns it.
    """

    def __init__(self, message: str, warnings: tuple[str, ...]) -> None:
        super().__init__(message)
        self.warnings = warnings


def lint(file: ConfigurationFile | CheckedFile, *, makes: bool = True) -> tuple[str, ...]:
    """Look for all that is wrong with a file and with what it declares, in one round.

    Agents and pipelines are imported from allowed packages only, and made, but for those that
    depend on something else which is wrong.

    Args:
        file: the file, with faults that reading it has found, if there are any.
        makes: whether agents are imported and made.

    Returns:
        What to know that is no fault, such as what this machine has too little of, or whether a
        part of a composition takes what it is given: one sentence for each, with line and column
        if it is about a place of the file.

    Raises:
        FaultsError: something is wrong: one line for each fault, with line and column.
    """
    if isinstance(file, CheckedFile):
        found, others = file.checked, file.checked.of_environment
        right, faults = found.right, list(found.faults)
    else:
        right, faults, others = file.configuration, [], []
    warnings = Warnings()
    if right is not None and not others:
        warnings = _look(file, right, faults, makes=makes)
    sentences = *tell_warnings(file, warnings.placed), *warnings.general
    if faults or others:
        told = tell_faults(file.path, file.document, faults[:MOST_FAULTS])
        raise FaultsError("\n".join([*told, *map(printable, others)]), sentences)
    return sentences


def tell_warnings(
    file: ConfigurationFile | CheckedFile, placed: Iterable[PlacedWarning]
) -> Iterator[str]:
    """One line for each warning, with its place, in the order of the file."""
    sentences = ((at, f"{shown(at)}: {told}") for at, told in placed)
    return tell_faults(file.path, file.document, sentences)


def _look(
    file: ConfigurationFile | CheckedFile,
    right: Configuration,
    faults: list[Fault],
    *,
    makes: bool,
) -> Warnings:
    """Add to the faults what is wrong with the agents and pipelines that read well."""
    wrong = _declared_names(file.document.data, AGENTS) - right.data_agents.keys()
    for agent_id, found in _not_allowed(right):
        wrong.add(agent_id)
        faults.append(found)
    if not makes:
        return Warnings()
    registry = registry_of(right)
    for agent_id, of_agent in _not_made(right, registry, wrong):
        wrong.add(agent_id)
        faults += of_agent
        if len(faults) >= MOST_FAULTS:
            return Warnings()
    lint = PipelineLint(right, Choices(registry), wrong)
    of_pipelines = (fault for name in right.data_pipelines for fault in lint.placed_faults(name))
    faults += islice(of_pipelines, MOST_FAULTS)
    return lint.warnings


def _declared_names(data: Any, section: str) -> set[str]:
    """The names in a section of a file that may be wrong."""
    found = data.get(section) if isinstance(data, dict) else None
    return set(found) if isinstance(found, dict) else set()


def _not_allowed(configuration: Configuration) -> Iterator[tuple[str, Fault]]:
    """The agents that are from no allowed package; imports nothing."""
    importer = importer_of(configuration.allowed_packages)
    for agent_id, definition in configuration.data_agents.items():
        where = (AGENTS, agent_id, "module_path")
        try:
            importer.require_allowed(definition.module_path, definition.agent_class)
        except ConfigurationError as error:
            yield agent_id, (where, f"{shown(where)}: {error}")


def _not_made(
    configuration: Configuration, registry: AgentRegistry, wrong: Collection[str]
) -> Iterator[tuple[str, list[Fault]]]:
    """The agents that cannot be made, but for those that are known to be wrong."""
    meanings: Meanings = {}
    for agent_id in (one for one in configuration.data_agents if one not in wrong):
        try:
            make_agent(registry, agent_id, meanings=meanings)
        except ConfigurationError as error:
            yield agent_id, agent_faults((AGENTS, agent_id), error)


def missing_variables(
    file: ConfigurationFile, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Each provider whose key is not in the environment, with the name of the variable."""
    for name, provider in sorted(file.configuration.data_providers.items()):
        variable = provider.key_from_environment
        if variable is not None and not is_set(environment, variable):
            yield name, variable
