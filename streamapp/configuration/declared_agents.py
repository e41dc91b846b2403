"""The registry of the agents that a configuration file declares, and of those that ship."""

from collections.abc import Mapping

from streamapp.agents.definitions import DEFINITIONS
from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.named_schemas import named_schemas
from streamapp.configuration.sections import Configuration
from streamapp.registry.definition import AgentDefinition, read_definition
from streamapp.registry.registry import AgentRegistry

SHIPPED: Mapping[str, AgentDefinition] = {
    one.agent_id: one for one in map(read_definition, DEFINITIONS)
}
"""The agents that ship with a definition, by id."""


def registry_of(configuration: Configuration) -> AgentRegistry:
    """A registry with every declared agent; nothing is imported yet.

    The agents that ship with a definition are in it as well, unless the file has one of their id.

    Raises:
        RegistryError: a JSON schema of an agent is none.
    """
    registry = AgentRegistry()
    registry.importer = importer_of(configuration.allowed_packages)
    for _, name, schema in named_schemas(configuration):
        registry.schemas.bind(name, schema)
    for definition in {**SHIPPED, **configuration.data_agents}.values():
        registry.register(definition)
    return registry
