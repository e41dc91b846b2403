"""What an agent of the registry needs, also one that is made of others."""

from typing import Any

from streamapp.pipeline.agent import Agent
from streamapp.registry.definition import ResourceRequirements
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.resources import added_up

_NOTHING = ResourceRequirements()


def needs_of(registry: AgentRegistry, agent_id: str) -> ResourceRequirements:
    """What one worker needs to run an agent.

    Of one that combines others, such as a pool, that is what its parts need together that are
    registered under their own names, unless its definition says what it needs.
    """
    entry = registry.entry(agent_id)
    needs = entry.definition.resource_requirements
    if needs != _NOTHING or not isinstance(entry.given, Agent):
        return needs
    return added_up(_of_part(registry, part) for part in entry.given.parts)


def _of_part(registry: AgentRegistry, part: Agent[Any, Any]) -> ResourceRequirements:
    if part.name in registry and registry.entry(part.name).given is part:
        return needs_of(registry, part.name)
    return added_up(_of_part(registry, one) for one in part.parts)
