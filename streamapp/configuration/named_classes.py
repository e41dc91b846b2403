"""Finds the classes that agents of a file name as their schemas.

A definition may name a class, such as `shop.models.Order`. What it is, only the code of the agent
says; without it nothing would be known of the schema, and no agent with another one would fit.
"""

import logging
from collections.abc import Iterable

from streamapp.errors import StreamappError
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.derive import definition_of
from streamapp.registry.registry import AgentRegistry

log = logging.getLogger(__name__)


def bind_named_classes(registry: AgentRegistry, definitions: Iterable[AgentDefinition]) -> None:
    """Import the agents whose schemas are only names, and bind these to what they take and give.

    Only from allowed packages. Of an agent that cannot be imported, its schemas stay names: that
    is told where it is made.
    """
    for definition in definitions:
        names = definition.input_schema, definition.output_schema
        if all(not isinstance(one, str) or registry.schemas.of(one).is_bound for one in names):
            continue
        try:
            found = registry.importer.agent(definition.module_path, definition.agent_class)
            definition_of(found, registry.schemas)
        except StreamappError as error:
            log.debug("the schemas of agent %r stay names: %s", definition.agent_id, error)
