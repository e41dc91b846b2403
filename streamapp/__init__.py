"""streamapp: typed agents between Kafka topics, with error policies, dead letters and metrics."""

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
from streamapp.pipeline.stage import Ordering, Stage, StageConfig
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
from streamapp.topics.topic import Topic

__all__ = [
    "Agent",
    "Backoff",
    "BrokerError",
    "Capability",
    "ConfigurationError",
    "Context",
    "ErrorPolicy",
    "Ordering",
    "Out",
    "Permanent",
    "Pipeline",
    "PipelineError",
    "Policy",
    "Stage",
    "StageConfig",
    "StageError",
    "StageStoppedError",
    "StreamappError",
    "Topic",
    "TopicError",
    "Transient",
    "agent",
    "dead_letter",
    "drop",
    "retry",
    "skip",
    "stop",
]
