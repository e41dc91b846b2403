"""streamapp: typed agents between Kafka topics, with error policies, dead letters and metrics."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamapp.brokers.memory.broker import MemoryBroker
    from streamapp.clock import current_clock
    from streamapp.configuration.declared_pipelines import assemble_declared
    from streamapp.configuration.file import read_configuration
    from streamapp.errors import (
        BrokerError,
        ConfigurationError,
        Permanent,
        PipelineError,
        RegistryError,
        StageError,
        StageStoppedError,
        StreamappError,
        TopicError,
        Transient,
    )
    from streamapp.observability.collector import MetricsCollector
    from streamapp.observability.execution_figures import InMemoryCollector, PrometheusCollector
    from streamapp.pipeline.agent import Agent, agent
    from streamapp.pipeline.batch_agent import batch_agent
    from streamapp.pipeline.bundle import Bundle, build_bundle
    from streamapp.pipeline.capability import Capability
    from streamapp.pipeline.combinators.branch import branch
    from streamapp.pipeline.combinators.branches import parallel
    from streamapp.pipeline.combinators.chain import chain
    from streamapp.pipeline.combinators.choose import choose
    from streamapp.pipeline.combinators.fallback import fallback
    from streamapp.pipeline.combinators.pool import pool
    from streamapp.pipeline.combinators.when import when
    from streamapp.pipeline.context import Context, PipelineContext
    from streamapp.pipeline.execution.results import ExecutionResult, StageResult
    from streamapp.pipeline.out import Out
    from streamapp.pipeline.pipeline import Pipeline
    from streamapp.pipeline.stage import (
        AfterHold,
        KeyBacklog,
        LostPosition,
        Ordering,
        Stage,
        StageConfig,
    )
    from streamapp.pipeline.topology import build
    from streamapp.policies.backoff import Backoff
    from streamapp.policies.breaker_config import BreakerConfig
    from streamapp.policies.budget import BeyondBudget, DeadLetterBudget
    from streamapp.policies.policy import (
        ErrorPolicy,
        Policy,
        dead_letter,
        drop,
        retry,
        retry_later,
        skip,
        stop,
    )
    from streamapp.record import Record
    from streamapp.registry.assemble import assemble
    from streamapp.registry.choose_chain import choose_chain
    from streamapp.registry.definition import AgentDefinition
    from streamapp.registry.entry_points import register_entry_points
    from streamapp.registry.explanation import AssemblyError
    from streamapp.registry.instantiate import instantiate
    from streamapp.registry.registry import AgentRegistry
    from streamapp.registry.scores import Scores
    from streamapp.registry.suggest import suggest
    from streamapp.service import Service
    from streamapp.status import PipelineStatus
    from streamapp.topics.topic import Topic
    from streamapp.topics.topic_pattern import TopicPattern

__all__ = [
    "AfterHold",
    "Agent",
    "AgentDefinition",
    "AgentRegistry",
    "AssemblyError",
    "Backoff",
    "BeyondBudget",
    "BreakerConfig",
    "BrokerError",
    "Bundle",
    "Capability",
    "ConfigurationError",
    "Context",
    "DeadLetterBudget",
    "ErrorPolicy",
    "ExecutionResult",
    "InMemoryCollector",
    "KeyBacklog",
    "LostPosition",
    "MemoryBroker",
    "MetricsCollector",
    "Ordering",
    "Out",
    "Permanent",
    "Pipeline",
    "PipelineContext",
    "PipelineError",
    "PipelineStatus",
    "Policy",
    "PrometheusCollector",
    "Record",
    "RegistryError",
    "Scores",
    "Service",
    "Stage",
    "StageConfig",
    "StageError",
    "StageResult",
    "StageStoppedError",
    "StreamappError",
    "Topic",
    "TopicError",
    "TopicPattern",
    "Transient",
    "agent",
    "assemble",
    "assemble_declared",
    "batch_agent",
    "branch",
    "build",
    "build_bundle",
    "chain",
    "choose",
    "choose_chain",
    "current_clock",
    "dead_letter",
    "drop",
    "fallback",
    "instantiate",
    "parallel",
    "pool",
    "read_configuration",
    "register_entry_points",
    "retry",
    "retry_later",
    "skip",
    "stop",
    "suggest",
    "when",
]

# Imported when first used: a program, and a command, loads what it uses and no more.
_MODULES = {
    "AfterHold": "streamapp.pipeline.stage",
    "Agent": "streamapp.pipeline.agent",
    "AgentDefinition": "streamapp.registry.definition",
    "AgentRegistry": "streamapp.registry.registry",
    "AssemblyError": "streamapp.registry.explanation",
    "Backoff": "streamapp.policies.backoff",
    "BeyondBudget": "streamapp.policies.budget",
    "BreakerConfig": "streamapp.policies.breaker_config",
    "BrokerError": "streamapp.errors",
    "Bundle": "streamapp.pipeline.bundle",
    "Capability": "streamapp.pipeline.capability",
    "ConfigurationError": "streamapp.errors",
    "Context": "streamapp.pipeline.context",
    "DeadLetterBudget": "streamapp.policies.budget",
    "ErrorPolicy": "streamapp.policies.policy",
    "ExecutionResult": "streamapp.pipeline.execution.results",
    "InMemoryCollector": "streamapp.observability.execution_figures",
    "KeyBacklog": "streamapp.pipeline.stage",
    "LostPosition": "streamapp.pipeline.stage",
    "MemoryBroker": "streamapp.brokers.memory.broker",
    "MetricsCollector": "streamapp.observability.collector",
    "Ordering": "streamapp.pipeline.stage",
    "Out": "streamapp.pipeline.out",
    "Permanent": "streamapp.errors",
    "Pipeline": "streamapp.pipeline.pipeline",
    "PipelineContext": "streamapp.pipeline.context",
    "PipelineError": "streamapp.errors",
    "PipelineStatus": "streamapp.status",
    "Policy": "streamapp.policies.policy",
    "PrometheusCollector": "streamapp.observability.execution_figures",
    "Record": "streamapp.record",
    "RegistryError": "streamapp.errors",
    "Scores": "streamapp.registry.scores",
    "Service": "streamapp.service",
    "Stage": "streamapp.pipeline.stage",
    "StageConfig": "streamapp.pipeline.stage",
    "StageError": "streamapp.errors",
    "StageResult": "streamapp.pipeline.execution.results",
    "StageStoppedError": "streamapp.errors",
    "StreamappError": "streamapp.errors",
    "Topic": "streamapp.topics.topic",
    "TopicError": "streamapp.errors",
    "TopicPattern": "streamapp.topics.topic_pattern",
    "Transient": "streamapp.errors",
    "agent": "streamapp.pipeline.agent",
    "assemble": "streamapp.registry.assemble",
    "assemble_declared": "streamapp.configuration.declared_pipelines",
    "batch_agent": "streamapp.pipeline.batch_agent",
    "branch": "streamapp.pipeline.combinators.branch",
    "build": "streamapp.pipeline.topology",
    "build_bundle": "streamapp.pipeline.bundle",
    "chain": "streamapp.pipeline.combinators.chain",
    "choose": "streamapp.pipeline.combinators.choose",
    "choose_chain": "streamapp.registry.choose_chain",
    "current_clock": "streamapp.clock",
    "dead_letter": "streamapp.policies.policy",
    "drop": "streamapp.policies.policy",
    "fallback": "streamapp.pipeline.combinators.fallback",
    "instantiate": "streamapp.registry.instantiate",
    "parallel": "streamapp.pipeline.combinators.branches",
    "pool": "streamapp.pipeline.combinators.pool",
    "read_configuration": "streamapp.configuration.file",
    "register_entry_points": "streamapp.registry.entry_points",
    "retry": "streamapp.policies.policy",
    "retry_later": "streamapp.policies.policy",
    "skip": "streamapp.policies.policy",
    "stop": "streamapp.policies.policy",
    "suggest": "streamapp.registry.suggest",
    "when": "streamapp.pipeline.combinators.when",
}


def __getattr__(name: str) -> object:
    """Import a name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'streamapp' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return found
