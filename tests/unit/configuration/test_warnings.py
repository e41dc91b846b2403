"""What is no fault, and still not what somebody meant, is told with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.file import read_configuration
from streamapp.configuration.lint import FaultsError, lint
from streamapp.errors import ConfigurationError
from tests.unit.configuration.hostile import AGENT

Json = dict[str, Any]
BULK = {
    **AGENT,
    "agent_class": "BulkRequest",
    "module_path": "streamapp.agents.bulk_request",
    "configuration": {"url": "http://127.0.0.1:1/"},
}
HTTP = {
    **AGENT,
    "agent_class": "HttpLookup",
    "module_path": "streamapp.agents.http_lookup",
    "capabilities": ["data_enrichment"],
    "configuration": {"url": "http://127.0.0.1:1/{key}", "key": "title", "into": "found"},
}
AGENTS = {"once": AGENT, "other": AGENT, "http": HTTP, "bulk": BULK}


def told(folder: Path, stage: Any, *more: Any, **fields: Any) -> list[str]:
    path = folder / "config.json"
    stages = [{"agent": "once", **stage}, *more]
    declared = {"source": "in", "sink": "out", "stages": stages, **fields}
    pipelines = {"p": {name: value for name, value in declared.items() if value is not None}}
    path.write_text(json.dumps({"data_agents": AGENTS, "data_pipelines": pipelines}))
    found = lint(read_configuration(path, {}))
    assert all(line.startswith(f"{path}:1:") for line in found)
    return [line.partition(": ")[2] for line in found]


WHERE = "data_pipelines.p.stages[0]"


def test_outputs_that_go_nowhere_are_told_with_what_to_do(tmp_path: Path) -> None:
    (line,) = told(tmp_path, {}, sink=None)
    assert line == (
        f"{WHERE}: the outputs of the last stage 'stream_processing' go nowhere, so the pipeline"
        ' can be executed, and does not run on Kafka; give it a "sink", or this stage an'
        ' "output"'
    )
    assert told(tmp_path, {"output": "mine"}, sink=None) == []
    assert told(tmp_path, {}) == []


DROP = {"error_policy": "drop"}


@pytest.mark.parametrize(
    ("stage", "field", "because"),
    [
        ({**DROP, "retry_count": 3}, "retry_count", 'error_policy is "drop"'),
        ({**DROP, "backoff": {"base_seconds": 1}}, "backoff", 'error_policy is "drop"'),
        ({"retry_count": 0, "backoff": {"base_seconds": 1}}, "backoff", "retry_count is 0"),
        ({**DROP, "then": "stop"}, "then", "after which nothing follows"),
        ({**DROP, "dead_letters": "letters"}, "dead_letters", "make no dead letters"),
        ({**DROP, "dead_letter_budget": {"share": 0.1}}, "dead_letter_budget", "no dead letters"),
        (
            {"by_exception": {"KeyError": {**DROP, "retry_count": 1}}},
            "by_exception.KeyError.retry_count",
            'error_policy is "drop"',
        ),
        (
            {"ordering": "partition", "max_key_backlog_records": 9},
            "max_key_backlog_records",
            'ordering is "partition"',
        ),
        (
            {"on_key_backlog": "wait", "max_key_backlog_records": 9},
            "max_key_backlog_records",
            'on_key_backlog is "wait"',
        ),
        ({"timeout_seconds": 5}, "timeout_seconds", "'once' is a plain function"),
        ({"concurrency": 9}, "concurrency", "'once' is a plain function"),
        ({"routes": {"a": "topic"}}, "routes", "'once' sends to no routes"),
        (
            {"agent": "bulk", "batching": {"size": 1, "linger_seconds": 1}},
            "batching.linger_seconds",
            "waits for no others",
        ),
        (
            {"agent": {"branch": "once", "backoff": {"base_seconds": 1}}},
            "agent.backoff",
            "retry_count is 0",
        ),
        (
            {"agent": {"pool": ["once"], "capacity": 1, "weights": 2}},
            "agent.weights",
            "one member",
        ),
    ],
)
def test_a_setting_without_effect_is_told(
    tmp_path: Path, stage: Json, field: str, because: str
) -> None:
    (line,) = told(tmp_path, stage)
    assert line.startswith(f"{WHERE}.{field}: this has no effect, since ")
    assert because in line
    assert line.endswith("; leave it out")


@pytest.mark.parametrize(
    "stage",
    [
        {"retry_count": 0},
        {"error_policy": "retry_later", "delays_seconds": [5], "then": "drop"},
        {"error_policy": "stop", "by_exception": {"KeyError": {}}, "dead_letters": "letters"},
        {"ordering": "key", "max_key_backlog_records": 9},
        {"agent": "http", "timeout_seconds": 5, "concurrency": 9},
        {"agent": "bulk", "batching": {"size": 2, "linger_seconds": 1}, "concurrency": 9},
        {"agent": {"fallback": ["once", "http"]}, "timeout_seconds": 5, "concurrency": 9},
        {**DROP, "dead_letter_budget": None},
    ],
)
def test_a_setting_with_an_effect_is_not_told(tmp_path: Path, stage: Json) -> None:
    assert told(tmp_path, stage) == []


def test_what_runs_around_or_behind_a_plain_function_may_wait(tmp_path: Path) -> None:
    fused = {"agent": "http", "fused": True}
    assert told(tmp_path, {"concurrency": 9}, fused) == []
    middleware: list[Json] = [{"logging": {}}]
    assert told(tmp_path, {"concurrency": 9, "timeout_seconds": 1}, middleware=middleware) == []


def test_more_attempts_than_partitions_are_told_where_each_is_worked_on_in_order(
    tmp_path: Path,
) -> None:
    stage: Json = {"agent": "http", "ordering": "partition", "concurrency": 9}
    topics = [{"name": "in", "partitions": 4}, {"name": "more", "partitions": 3}]
    (line,) = told(tmp_path, stage, source=["in", {"topic": "more"}], topics=topics)
    assert line.startswith(f'{WHERE}.concurrency: more than 7 has no effect: ordering is "part')
    assert told(tmp_path, {**stage, "concurrency": 4}, topics=topics) == []
    assert told(tmp_path, {**stage, "ordering": "key"}, topics=topics) == []
    assert told(tmp_path, stage, source=["in", "unknown"], topics=topics) == []
    assert told(tmp_path, stage, source=[{"pattern": "in.*"}], topics=topics) == []


def test_an_exclusion_is_idle_where_no_agent_is_chosen(tmp_path: Path) -> None:
    (line,) = told(tmp_path, {}, exclude=["other"])
    assert line.startswith("data_pipelines.p.exclude: this has no effect, since every stage names")
    chosen = {"capability": "data_enrichment"}
    assert told(tmp_path, {}, chosen, exclude=["other"]) == []


def test_a_pool_that_finds_too_few_agents_is_told(tmp_path: Path) -> None:
    chosen = {"agent": None, "capability": "stream_processing", "pool": 5}
    (line,) = told(tmp_path, chosen, {"agent": "http"}, exclude=["bulk"])
    assert line.startswith(f"{WHERE}.pool: 5 agents are to share the work, and only 2 can; ")


def test_an_agent_that_is_named_cannot_be_excluded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        told(tmp_path, {"agent": {"chain": ["once", "other"]}}, exclude=["other"])
    assert str(refused.value).endswith(
        f"data_pipelines.p.exclude[0]: {WHERE} names 'other', which is excluded here; drop one of"
        " the two"
    )


def test_what_is_no_fault_is_told_beside_the_faults(tmp_path: Path) -> None:
    wrong = {"agent": "other", "name": "other", "configuration": {"kye": 1}}
    with pytest.raises(FaultsError) as refused:
        told(tmp_path, {**DROP, "retry_count": 3}, wrong)
    (warning,) = refused.value.warnings
    assert f"{WHERE}.retry_count: this has no effect" in warning
    assert warning not in str(refused.value)
