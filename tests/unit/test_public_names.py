"""The names that users import: adding or removing one is a decision."""

import subprocess
import sys

import pytest

import streamapp
from streamapp.clock import SystemClock

NAMES = {
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
}


@streamapp.agent(name="same")
def _same(value: dict[str, int]) -> dict[str, int]:
    return value


def test_the_public_names_are_these() -> None:
    assert set(streamapp.__all__) == NAMES
    assert all(hasattr(streamapp, name) for name in NAMES)


def test_an_unknown_name_is_refused_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'streamapp' has no attribute 'Servise'"):
        streamapp.Servise  # noqa: B018 - the mistake under test


def test_a_module_of_agents_imports_neither_the_runtime_nor_the_registry() -> None:
    rooms = "('streamapp.runtime.config', 'streamapp.registry', 'streamapp.configuration')"
    code = f"import streamapp, sys; print(any(one in sys.modules for one in {rooms}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert done.stdout == "False\n"


def test_a_service_runs_a_pipeline_by_public_names_alone() -> None:
    pipeline = streamapp.Pipeline("p", source=streamapp.Topic("in", dict)).stage(_same).sink("out")
    topology = streamapp.build(pipeline)
    broker = streamapp.MemoryBroker(SystemClock())
    assert [metrics.stage for metrics in streamapp.Service(broker, [topology]).metrics] == ["same"]
