"""The registry of the agents that a file declares, that ship, and that packages have installed."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from streamapp.agents.definitions import DEFINITIONS
from streamapp.configuration.allowed_packages import importer_of
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.named_classes import bind_named_classes
from streamapp.configuration.named_schemas import named_schemas
from streamapp.registry.definition import AgentDefinition, read_definition
from streamapp.registry.entry_points import GROUP, register_entry_points
from streamapp.registry.registry import AgentRegistry

SHIPPED: Mapping[str, AgentDefinition] = {
    one.agent_id: one for one in map(read_definition, DEFINITIONS)
}
"""The agents that ship with a definition, by id."""


@cache
def installed() -> Mapping[str, EntryPoint]:
    """The agents that installed packages name as entry points, by id; nothing is imported."""
    return {one.name: one for one in entry_points(group=GROUP)}


def registry_of(configuration: Configuration, *, knows_classes: bool = True) -> AgentRegistry:
    """A registry with every declared agent.

    The agents that ship with a definition are in it as well, and those of installed packages that
    are allowed, which are imported; an agent of the file takes the place of one of the same id.

    Args:
        configuration: the file.
        knows_classes: whether agents whose schemas are names of classes are imported, from allowed
            packages, so that it is known what these are; else none of the file is.

    Raises:
        RegistryError: a JSON schema of an agent is none.
    """
    registry = AgentRegistry()
    registry.importer = importer_of(configuration.allowed_packages)
    registry.folder = configuration.folder
    for _, name, schema in named_schemas(configuration):
        registry.schemas.bind(name, schema)
    definitions = {**SHIPPED, **configuration.data_agents}
    for definition in definitions.values():
        registry.register(definition)
    others: Iterable[str] = installed().keys() - {one.agent_id for one in registry.list()}
    register_entry_points(registry, [installed()[name] for name in others])
    if knows_classes:
        bind_named_classes(registry, definitions.values())
    return registry
