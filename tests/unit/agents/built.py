"""Built-in agents as users have them: made of data, without code."""

from typing import Any

import pytest

from streamapp.errors import Permanent, RegistryError
from streamapp.pipeline.agent import Agent
from streamapp.registry.definition import read_definition
from streamapp.registry.instantiate import make_agent
from streamapp.registry.registry import AgentRegistry

MODULES = {
    "BulkRequest": "bulk_request",
    "Deduplicator": "deduplicator",
    "FieldMapper": "field_mapper",
    "FileLookup": "file_lookup",
    "Filter": "filter",
    "HttpLookup": "http_lookup",
    "Router": "router",
    "RunningAggregates": "running_aggregates",
    "TopicLookup": "topic_lookup",
    "Validator": "validator",
}


def built(agent_class: str, configuration: dict[str, Any], **fields: Any) -> Agent[Any, Any]:
    """The agent of a definition that is data alone."""
    definition = {
        "agent_id": "it",
        "agent_class": agent_class,
        "module_path": f"streamapp.agents.{MODULES[agent_class]}",
        "input_schema": {"type": "object"},
        "output_schema": {"type": "object"},
        "configuration": configuration,
        **fields,
    }
    registry = AgentRegistry(["streamapp.agents"])
    registry.register(read_definition(definition))
    return make_agent(registry, "it")


def faults(agent_class: str, configuration: dict[str, Any]) -> list[str]:
    """What is wrong with a configuration, a sentence each, without the way to it."""
    with pytest.raises(RegistryError) as raised:
        built(agent_class, configuration)
    return [line.removeprefix("it.configuration.") for line in str(raised.value).splitlines()]


def refused(agent: Agent[Any, Any], value: Any) -> str:
    """Why a record is at fault."""
    with pytest.raises(Permanent) as raised:
        agent(value)
    return str(raised.value)
