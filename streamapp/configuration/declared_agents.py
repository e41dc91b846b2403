"""The registry of the agents that a configuration file declares."""

from streamapp.configuration.sections import ALWAYS_ALLOWED, Configuration
from streamapp.registry.registry import AgentRegistry


def registry_of(configuration: Configuration) -> AgentRegistry:
    """A registry with every declared agent; nothing is imported yet.

    Raises:
        RegistryError: a JSON schema of an agent is none.
    """
    registry = AgentRegistry([ALWAYS_ALLOWED, *configuration.allowed_packages])
    for definition in configuration.data_agents.values():
        registry.register(definition)
    return registry
