"""streamapp: typed agents between Kafka topics, with error policies, dead letters and metrics."""

import importlib
from typing import TYPE_CHECKING

from streamapp.errors import (
    BrokerError,
    ConfigurationError,
    Permanent,
    PipelineError,
    StageError,
    StageStoppedError,
    StreamappError,
    TopicError,
    Transient,
)
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import KeyBacklog, LostPosition, Ordering, Stage, StageConfig
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import (
    ErrorPolicy,
    Policy,
    dead_letter,
    drop,
    retry,
    skip,
    stop,
)
from streamapp.record import Record
from streamapp.topics.topic import Topic

if TYPE_CHECKING:
    from streamapp.brokers.memory.broker import MemoryBroker
    from streamapp.service import Service

__all__ = [
    "Agent",
    "Backoff",
    "BrokerError",
    "Capability",
    "ConfigurationError",
    "Context",
    "ErrorPolicy",
    "KeyBacklog",
    "LostPosition",
    "MemoryBroker",
    "Ordering",
    "Out",
    "Permanent",
    "Pipeline",
    "PipelineError",
    "Policy",
    "Record",
    "Service",
    "Stage",
    "StageConfig",
    "StageError",
    "StageStoppedError",
    "StreamappError",
    "Topic",
    "TopicError",
    "Transient",
    "agent",
    "build",
    "dead_letter",
    "drop",
    "retry",
    "skip",
    "stop",
]

# Imported when first used: they bring asyncio and the runtime, which most modules do not need.
_IMPORTED_WHEN_USED = {
    "MemoryBroker": "streamapp.brokers.memory.broker",
    "Service": "streamapp.service",
}


def __getattr__(name: str) -> object:
    """Import `Service` or `MemoryBroker`."""
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module 'streamapp' has no attribute {name!r}")
    return getattr(importlib.import_module(_IMPORTED_WHEN_USED[name]), name)
