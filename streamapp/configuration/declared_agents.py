"""The registry of the agents that a configuration file declares, and of those that ship."""

from streamapp.agents.definitions import DEFINITIONS
from streamapp.configuration.sections import ALWAYS_ALLOWED, Configuration
from streamapp.registry.definition import read_definition
from streamapp.registry.registry import AgentRegistry


def registry_of(configuration: Configuration) -> AgentRegistry:
    """A registry with every declared agent; nothing is imported yet.

    The agents that ship with a definition are in it as well, unless the file has one of their id.

    Raises:
        RegistryError: a JSON schema of an agent is none.
    """
    registry = AgentRegistry([ALWAYS_ALLOWED, *configuration.allowed_packages])
    shipped = [read_definition(fields) for fields in DEFINITIONS]
    declared = configuration.data_agents
    for definition in (
        *(one for one in shipped if one.agent_id not in declared),
        *declared.values(),
    ):
        registry.register(definition)
    return registry
