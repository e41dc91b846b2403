"""Makes every declared agent and pipeline once, to find what reading alone cannot."""

from collections.abc import Iterator, Mapping

from streamapp.configuration.check import Fault, shown
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, tell_faults
from streamapp.errors import ConfigurationError
from streamapp.registry.instantiate import make_agent


def lint(file: ConfigurationFile) -> None:
    """Import and make the agents and pipelines of a file, from allowed packages only.

    Raises:
        ConfigurationError: some cannot be made: one line for each, with line and column.
    """
    registry = registry_of(file.configuration)
    faults: list[Fault] = []
    for agent_id in file.configuration.data_agents:
        where = ("data_agents", agent_id)
        try:
            make_agent(registry, agent_id)
        except ConfigurationError as error:
            faults.append((where, f"{shown(where)}: {error}"))
    if not faults:  # or a wrong agent would be told once more for each of its pipelines
        faults += _faults_of_pipelines(file)
    if faults:
        raise ConfigurationError("\n".join(tell_faults(file.path, file.document, faults)))


def _faults_of_pipelines(file: ConfigurationFile) -> Iterator[Fault]:
    for name in file.configuration.data_pipelines:
        where = ("data_pipelines", name)
        try:
            assemble_declared(file.configuration, name)
        except ConfigurationError as error:
            yield where, f"{shown(where)}: {error}"


def missing_variables(
    file: ConfigurationFile, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Each provider whose key is not in the environment, with the name of the variable."""
    for name, provider in sorted(file.configuration.data_providers.items()):
        variable = provider.key_from_environment
        if variable is not None and not environment.get(variable):
            yield name, variable
