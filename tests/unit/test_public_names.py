"""The names that users import: adding or removing one is a decision."""

import streamapp

NAMES = {
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
}


def test_the_public_names_are_these() -> None:
    assert set(streamapp.__all__) == NAMES
    assert all(hasattr(streamapp, name) for name in NAMES)
