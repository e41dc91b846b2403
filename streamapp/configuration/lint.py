"""Makes every declared agent and pipeline once, to find what reading alone cannot."""

from collections.abc import Iterator, Mapping
from itertools import islice

from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.check import MOST_FAULTS, Fault
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import pipeline_faults
from streamapp.configuration.file import ConfigurationFile, tell_faults
from streamapp.configuration.placed import PlacedError, agent_faults, shown
from streamapp.configuration.warnings import Warnings
from streamapp.errors import ConfigurationError
from streamapp.registry.choices import Choices
from streamapp.registry.instantiate import Meanings, make_agent
from streamapp.registry.registry import AgentRegistry


def require_allowed(file: ConfigurationFile) -> None:
    """Require the agents of a file to come from allowed packages; imports nothing.

    Raises:
        ConfigurationError: some do not: one line for each, with line and column.
    """
    importer = importer_of(file.configuration.allowed_packages)
    faults: list[Fault] = []
    for agent_id, definition in file.configuration.data_agents.items():
        where = ("data_agents", agent_id, "module_path")
        try:
            importer.require_allowed(definition.module_path, definition.agent_class)
        except ConfigurationError as error:
            faults.append((where, f"{shown(where)}: {error}"))
    _raise(file, faults)


def lint(file: ConfigurationFile) -> tuple[str, ...]:
    """Import and make the agents and pipelines of a file, from allowed packages only.

    Returns:
        What to know that is no fault, such as what this machine has too little of, or whether a
        part of a composition takes what it is given: one sentence for each, with line and column
        if it is about a place of the file.

    Raises:
        ConfigurationError: some cannot be made: one line for each, with line and column.
    """
    registry = registry_of(file.configuration)
    faults: list[Fault] = []
    warnings = Warnings()
    meanings: Meanings = {}
    for agent_id in file.configuration.data_agents:
        where = ("data_agents", agent_id)
        try:
            make_agent(registry, agent_id, meanings=meanings)
        except ConfigurationError as error:
            faults += agent_faults(where, error)
            if len(faults) >= MOST_FAULTS:
                break
    if not faults:  # or a wrong agent would be told once more for each of its pipelines
        faults += islice(_faults_of_pipelines(file, registry, warnings), MOST_FAULTS)
    _raise(file, faults)
    placed = ((at, f"{shown(at)}: {told}") for at, told in warnings.placed)
    return (*tell_faults(file.path, file.document, placed), *warnings.general)


def _faults_of_pipelines(
    file: ConfigurationFile, registry: AgentRegistry, warnings: Warnings
) -> Iterator[Fault]:
    choices = Choices(registry)
    for name in file.configuration.data_pipelines:
        for error in pipeline_faults(file.configuration, name, choices, warnings):
            at = error.path if isinstance(error, PlacedError) else ("data_pipelines", name)
            for line in str(error).splitlines():
                yield at, f"{shown(at)}: {line}"


def _raise(file: ConfigurationFile, faults: list[Fault]) -> None:
    if faults:
        raise ConfigurationError("\n".join(tell_faults(file.path, file.document, faults)))


def missing_variables(
    file: ConfigurationFile, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Each provider whose key is not in the environment, with the name of the variable."""
    for name, provider in sorted(file.configuration.data_providers.items()):
        variable = provider.key_from_environment
        if variable is not None and not environment.get(variable):
            yield name, variable
