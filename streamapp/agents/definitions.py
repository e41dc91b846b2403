"""Definitions of the agents that ship with a configuration of their own, as a file would have them.

They are data, for the registry to read.
"""

from collections.abc import Mapping
from typing import Any

DEFINITIONS: tuple[Mapping[str, Any], ...] = (
    {
        "agent_id": "stream_processor",
        "agent_class": "StreamProcessorAgent",
        "module_path": "streamapp.agents.stream_processor",
        "capabilities": ["stream_processing"],
        "input_schema": "StreamDataInput",
        "output_schema": "StreamDataOutput",
        "configuration": {"model": "gpt-4o-mini", "temperature": 0.1},
        "resource_requirements": {"memory_mb": 1024, "cpu_cores": 2},
        "description": "Has a language model work on each object of a stream.",
    },
    {
        "agent_id": "batch_processor",
        "agent_class": "BatchProcessorAgent",
        "module_path": "streamapp.agents.batch_processor",
        "capabilities": ["batch_processing"],
        "input_schema": "BatchDataInput",
        "output_schema": "BatchDataOutput",
        "configuration": {"model": "gpt-4o", "temperature": 0.0},
        "resource_requirements": {"memory_mb": 2048, "cpu_cores": 4},
        "description": "Has a language model work on lists of objects.",
    },
    {
        "agent_id": "data_transformer",
        "agent_class": "DataTransformationAgent",
        "module_path": "streamapp.agents.data_transformer",
        "capabilities": ["data_transformation"],
        "input_schema": "TransformationInput",
        "output_schema": "TransformationOutput",
        "configuration": {"model": "gpt-4o-mini", "temperature": 0.0},
        "resource_requirements": {"memory_mb": 512, "cpu_cores": 1},
        "description": "Has a language model bring objects into a form.",
    },
)
