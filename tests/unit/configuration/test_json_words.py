"""Messages about a file are in the words of JSON: who writes one need not know Python."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.declared_pipeline import DeclaredPipeline
from streamapp.configuration.declared_stage import DeclaredStage
from streamapp.configuration.file import CheckedFile, read_with_faults
from streamapp.configuration.lint import lint
from streamapp.errors import ConfigurationError
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import DeadLetterBudget
from streamapp.registry.definition import AgentDefinition
from tests.unit.configuration.hostile import AGENT

Json = dict[str, Any]

OF_PYTHON = re.compile(
    r"\b(None|True|False|tuple|dict|dictionary|typing|frozenset)\b|…|\w=|\{'|\[None|Python|\.\w+\(\)"
)
VALUES: list[Any] = [None, True, 0, 1.5, "", [], [None], {}, {"a": None}, [{"a": [True]}]]
MAP = {
    **AGENT,
    "agent_class": "FieldMapper",
    "module_path": "streamapp.agents.field_mapper",
    "configuration": {"fields": {"a": "b"}},
}
ROUTE = {
    **AGENT,
    "agent_class": "Router",
    "module_path": "streamapp.agents.router",
    "configuration": {"routes": [{"to": "x", "rules": [{"path": "k", "operator": "exists"}]}]},
}
BULK = {
    **AGENT,
    "agent_class": "BulkRequest",
    "module_path": "streamapp.agents.bulk_request",
    "configuration": {"url": "http://127.0.0.1:1/"},
}
AGENTS = {"once": AGENT, "map": MAP, "route": ROUTE, "bulk": BULK}


def pipeline(*stages: Any, **fields: Any) -> Json:
    declared = {"source": "in", "sink": "out", "stages": list(stages), **fields}
    return {"data_agents": AGENTS, "data_pipelines": {"p": declared}}


def stage(**fields: Any) -> Json:
    return pipeline({"agent": "once", **fields})


def wrong_values() -> Iterator[tuple[str, Any]]:
    """Files with each of the wrong values at each place, with the name of the place."""
    kinds = ("pool", "chain", "choose", "fallback", "parallel", "branch", "agent")
    models = (("breaker", BreakerConfig), ("dead_letter_budget", DeadLetterBudget))
    for value in VALUES:
        for section in ("data_agents", "data_pipelines", "data_providers", "cli_settings"):
            yield section, {section: value}
        for name in AgentDefinition.model_fields:
            yield name, {"data_agents": {"once": {**AGENT, name: value}}}
        for name in DeclaredStage.model_fields:
            yield name, stage(**{name: value})
        for name in DeclaredPipeline.model_fields:
            yield name, pipeline({"agent": "once"}, **{name: value})
        for name in kinds:
            yield name, stage(agent={name: value})
        for name, model in models:
            for one in dataclasses.fields(model):
                yield name, stage(**{name: {one.name: value}})
        yield from wrong_settings(value)


def wrong_settings(value: Any) -> Iterator[tuple[str, Any]]:
    """Files with a wrong value in the configuration of an agent."""
    for agent_id, definition in AGENTS.items():
        for name in definition["configuration"]:
            wrong = {**definition["configuration"], name: value}
            yield CONFIGURED, {"data_agents": {agent_id: {**definition, "configuration": wrong}}}


CONFIGURED = "configuration of an agent"
"""The place whose values only the agent can judge."""

FUSED = {"agent": "bulk", "name": "second", "fused": True}
WRONG_TOGETHER: dict[str, Json] = {
    "retry after retry": stage(then="retry"),
    "later without delays": stage(error_policy="retry_later"),
    "delays without retry": stage(error_policy="drop", delays_seconds=[5]),
    "falling delays": stage(delays_seconds=[5, 3]),
    "no breaker to hold": stage(breaker=None, max_hold_seconds=4),
    "breaker of a drop": stage(error_policy="drop", breaker={"consecutive_failures": 9}),
    "after no hold": stage(after_hold="stop"),
    "output and sink": stage(output="mine"),
    "fused first": stage(fused=True),
    "fused batches": pipeline({"agent": "bulk"}, FUSED),
    "batches of one": stage(batching={"size": 2}),
    "old name": stage(renamed_from="stream_processing"),
    "route": pipeline({"agent": "route"}),
    "illegal name": stage(name="a b"),
    "own source": pipeline({"agent": "once"}, sink="in"),
    "branch without output": stage(agent={"parallel": {"x": "once", "y": "map"}}),
    "branch with a timeout": stage(agent={"branch": "map", "timeout_seconds": 5}),
    "capacities": stage(agent={"pool": ["map"], "capacity": [1, 2]}),
    "route in a chain": stage(agent={"chain": ["route", "map"]}),
    "long name": pipeline({"agent": "once"}, middleware=[{"logging": {}}], source="x" * 300),
    "no object": {"data_agents": {"once": {**AGENT, "input_schema": {"type": "string"}}}},
    "no object given": {"data_agents": {"once": {**AGENT, "output_schema": {"type": "string"}}}},
    "no schema": {"data_agents": {"once": {**AGENT, "input_schema": {"type": 5}}}},
}


def read(folder: Path, content: Any) -> CheckedFile:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return read_with_faults(path, {})


def test_wrong_values_are_told_as_json(tmp_path: Path) -> None:
    told = 0
    for name, content in wrong_values():
        try:
            lint(read(tmp_path, content), makes=name == CONFIGURED)
        except ConfigurationError as error:
            told += 1
            for line in str(error).splitlines():
                assert not OF_PYTHON.search(line.partition(": ")[2]), (name, line)
    assert told > 500


@pytest.mark.parametrize("name", WRONG_TOGETHER)
def test_what_does_not_go_together_is_told_without_python(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        lint(read(tmp_path, WRONG_TOGETHER[name]))
    for line in str(refused.value).splitlines():
        assert not OF_PYTHON.search(line.partition(": ")[2]), line


def test_a_value_is_shown_as_it_is_written(tmp_path: Path) -> None:
    content = {"cli_settings": {"auto_save": None, "log_level": {"a": [True, None]}}}
    with pytest.raises(ConfigurationError) as refused:
        lint(read(tmp_path, content))
    first, second = str(refused.value).splitlines()
    assert first.endswith("cli_settings.auto_save: should be a valid boolean, not null")
    assert second.endswith('not {"a": [true, null]}')
