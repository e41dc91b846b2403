"""The definitions that ship: they are what was promised, and can be made without the extra `ai`."""

import subprocess
import sys
from typing import Any

import pytest

from streamapp.agents.definitions import DEFINITIONS
from streamapp.registry.definition import read_definition
from streamapp.registry.instantiate import make_agent
from streamapp.registry.registry import AgentRegistry


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one["agent_id"])
def test_a_definition_fits_its_class(definition: dict[str, object]) -> None:
    registry = AgentRegistry(["streamapp.agents"])
    read = registry.register(read_definition(definition))
    agent = make_agent(registry, read.agent_id)
    assert agent.capabilities == set(read.capabilities)
    assert agent.input_type.__name__ == read.input_schema
    assert agent.output_type.__name__ == read.output_schema
    made: Any = agent.function
    configured = made._configuration
    assert configured == type(configured)(), "defaults of the class and the definition differ"
    assert read.configuration == {
        "model": configured.model,
        "temperature": configured.temperature,
    }


def test_they_are_what_was_promised() -> None:
    told = [
        (
            read.agent_id,
            read.agent_class,
            *read.capabilities,
            read.configuration["model"],
            read.configuration["temperature"],
            read.resource_requirements.memory_mb,
            read.resource_requirements.cpu_cores,
        )
        for read in map(read_definition, DEFINITIONS)
    ]
    assert told == [
        (
            "stream_processor",
            "StreamProcessorAgent",
            "stream_processing",
            "gpt-4o-mini",
            0.1,
            1024,
            2,
        ),
        ("batch_processor", "BatchProcessorAgent", "batch_processing", "gpt-4o", 0.0, 2048, 4),
        (
            "data_transformer",
            "DataTransformationAgent",
            "data_transformation",
            "gpt-4o-mini",
            0.0,
            512,
            1,
        ),
    ]


def test_without_the_extra_they_are_told_of_and_refused_at_the_start() -> None:
    program = """
import asyncio, sys
sys.modules["pydantic_ai"] = None  # as if it were not installed
from streamapp.agents.stream_processor import StreamProcessorAgent, StreamProcessorConfiguration
from streamapp.errors import ConfigurationError
try:
    asyncio.run(StreamProcessorAgent(StreamProcessorConfiguration()).open())
except ConfigurationError as error:
    print(error)
"""
    ran = subprocess.run(  # noqa: S603 - a program of this test
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "an agent with a model needs pydantic-ai; install streamapp[ai]"
