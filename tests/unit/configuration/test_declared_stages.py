"""Stages of a file do what `Pipeline.stage` and the topics do."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamapp.cli.loading import topics_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.declared_policy import EXCEPTIONS
from streamapp.configuration.declared_stage import DeclaredStage
from streamapp.configuration.file import read_configuration
from streamapp.configuration.lint import lint
from streamapp.errors import ConfigurationError, DecodeError, Permanent, TopicError
from streamapp.pipeline.audit import Audit
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import AfterHold, Ordering, StageConfig
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.budget import BeyondBudget, DeadLetterBudget
from streamapp.policies.policy import Policy, dead_letter, drop, retry, retry_later, skip, stop
from streamapp.testing import PipelineDriver
from streamapp.topics.catalogue import Catalogue
from streamapp.topics.declaration import DeclaredTopic
from streamapp.topics.topic_pattern import TopicPattern
from tests.unit.configuration.hostile import AGENT

CHECK = {
    **AGENT,
    "agent_class": "Validator",
    "module_path": "streamapp.agents.validator",
    "capabilities": ["data_validation"],
    "configuration": {"json_schema": {"type": "object", "required": ["title"]}},
}
ROUTE = {
    **AGENT,
    "agent_class": "Router",
    "module_path": "streamapp.agents.router",
    "configuration": {
        "routes": [{"to": "late", "rules": [{"path": "late", "operator": "equals", "value": True}]}]
    },
}
BULK = {
    **AGENT,
    "agent_class": "BulkRequest",
    "module_path": "streamapp.agents.bulk_request",
    "capabilities": ["batch_processing"],
    "configuration": {"url": "http://127.0.0.1:1/x"},
}


def declared(folder: Path, stages: list[dict[str, Any]], **fields: Any) -> Pipeline[Any, Any]:
    path = folder / "config.json"
    pipeline = {"source": "orders", "sink": "clean", "stages": stages, **fields}
    agents = {"once": AGENT, "check": CHECK, "route": ROUTE, "bulk": BULK}
    path.write_text(json.dumps({"data_agents": agents, "data_pipelines": {"p": pipeline}}))
    file = read_configuration(path, {})
    lint(file)
    return assemble_declared(file.configuration, "p").pipeline


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, retry(2)),
        ({"error_policy": "stop"}, stop()),
        ({"error_policy": "skip"}, skip()),
        ({"error_policy": "drop"}, drop()),
        ({"error_policy": "dead_letter"}, dead_letter()),
        (
            {"retry_count": 5, "then": "drop", "backoff": {"base_seconds": 1, "max_seconds": 9}},
            retry(5, then=drop(), backoff=Backoff(1.0, max_seconds=9.0)),
        ),
        (
            {"error_policy": "retry_later", "delays_seconds": [10, 60], "then": "skip"},
            retry_later([10, 60], then=skip()),
        ),
        ({"retry_count": 1, "delays_seconds": [10]}, retry(1, then=retry_later([10]))),
        (
            {
                "by_exception": {
                    "KeyError": {"error_policy": "drop"},
                    "world": {"retry_count": 9},
                    "TimeoutError": {"error_policy": "stop"},
                }
            },
            retry(2).on(
                {
                    KeyError: drop(),
                    OSError: retry(9),
                    EXCEPTIONS["Transient"]: retry(9),
                    TimeoutError: stop(),
                }
            ),
        ),
    ],
)
def test_a_policy_is_the_one_of_python(
    tmp_path: Path, fields: dict[str, Any], policy: Policy
) -> None:
    found = declared(tmp_path, [{"agent": "once", **fields}]).stages[0].config.policy
    assert found.by_exception == policy.by_exception or sorted(
        map(repr, found.by_exception)
    ) == sorted(map(repr, policy.by_exception))
    error = TimeoutError()
    assert found.for_error(error).action is policy.for_error(error).action
    for name in ("action", "retries", "then", "delays_seconds"):
        assert getattr(found, name) == getattr(policy, name)
    if found.is_retry:
        assert found.backoff == policy.backoff


def test_the_fault_of_the_record_covers_what_is_that(tmp_path: Path) -> None:
    stage = {"agent": "once", "by_exception": {"record": {"error_policy": "drop"}}}
    policy = declared(tmp_path, [stage]).stages[0].config.policy
    assert policy.for_error(Permanent("x")) == drop()
    assert policy.for_error(DecodeError("x")) == drop()
    assert policy.for_error(OSError()) is policy


def test_every_setting_of_a_stage_is_taken_as_it_is_written(tmp_path: Path) -> None:
    stage = {
        "agent": "once",
        "timeout_seconds": 1.5,
        "concurrency": 3,
        "ordering": "partition",
        "max_outputs_per_record": 5,
        "max_in_flight_records": 50,
        "max_in_flight_bytes": 5000,
        "max_key_backlog_records": 7,
        "on_key_backlog": "wait",
        "on_lost_position": "latest",
        "breaker": {"consecutive_failures": 9, "slow_seconds": 2, "slow_rate": 0.5},
        "max_hold_seconds": 60,
        "after_hold": "stop",
        "dead_letter_budget": {"share": 0.1, "then": "stop"},
    }
    config = declared(tmp_path, [stage]).stages[0].config
    assert config == StageConfig.model_validate(
        {
            **{name: value for name, value in stage.items() if name != "agent"},
            "ordering": Ordering.PARTITION,
            "breaker": BreakerConfig(consecutive_failures=9, slow_seconds=2, slow_rate=0.5),
            "after_hold": AfterHold.STOP,
            "dead_letter_budget": DeadLetterBudget(share=0.1, then=BeyondBudget.STOP),
            "retry_count": 2,
        }
    )
    off = {"agent": "once", "breaker": None, "dead_letter_budget": None}
    config = declared(tmp_path, [off]).stages[0].config
    assert (config.breaker, config.dead_letter_budget) == (None, None)


def test_all_settings_of_a_stage_can_be_declared_and_have_the_same_defaults() -> None:
    fields = DeclaredStage.model_fields
    assert set(StageConfig.model_fields) <= set(fields)
    made = DeclaredStage.model_validate_json('{"agent": "a"}').config()
    assert made == StageConfig(retry_count=2)


def test_topics_routes_and_names_are_those_of_the_stage(tmp_path: Path) -> None:
    stages: list[dict[str, Any]] = [
        {"agent": "check", "name": "first", "output": "checked", "dead_letters": "bad"},
        {
            "agent": "route",
            "routes": {"late": "late.orders"},
            "renamed_from": "router",
            "name": "second",
        },
    ]
    made = declared(tmp_path, stages, audit="all")
    first, second = made.declarations
    assert made.audit is Audit.ALL
    assert (first.output and first.output.name, first.dead_letters) == ("checked", "bad")
    assert {name: topic.name for name, topic in second.routes.items()} == {"late": "late.orders"}
    assert second.renamed_from == "router"
    values = [{"title": "a", "late": True}, {"title": "b"}]
    results = PipelineDriver(made).run(values)
    assert results.outputs == values[1:]
    assert [one.value for one in results.records("late.orders")] == values[:1]


def test_fused_stages_have_no_topic_between(tmp_path: Path) -> None:
    stages: list[dict[str, Any]] = [{"agent": "check"}, {"agent": "once", "fused": True}]
    made = declared(tmp_path, stages)
    assert [one.fused for one in made.declarations] == [False, True]
    assert PipelineDriver(made).run([{"title": "a"}, {"title": "a"}]).outputs == [{"title": "a"}]


def test_several_sources_and_patterns_are_read(tmp_path: Path) -> None:
    source = ["a", {"topic": "b"}, {"pattern": "c[.].*", "max_topics": 7}]
    made = declared(tmp_path, [{"agent": "once"}], source=source)
    assert [one.name for one in made.sources] == ["a", "b", "c[.].*"]
    pattern = made.sources[2]
    assert isinstance(pattern, TopicPattern)
    assert pattern.max_topics == 7


def test_batches_are_as_large_as_the_stage_says(tmp_path: Path) -> None:
    stage = {"agent": "bulk", "batching": {"size": 7, "linger_seconds": 0.5}}
    batching = declared(tmp_path, [stage]).stages[0].agent.batching
    assert batching is not None
    assert (batching.size, batching.linger_seconds) == (7, 0.5)


def test_middleware_runs_around_every_stage(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["price"]}
    made = declared(
        tmp_path,
        [{"agent": "check"}],
        middleware=[
            {"redaction": {"paths": ["card"]}},
            {"logging": {"level": "DEBUG"}},
            {"validation": {"json_schema": schema}},
        ],
    )
    results = PipelineDriver(made).run([{"title": "a", "price": 1, "card": "c"}, {"title": "b"}])
    assert results.outputs == [{"title": "a", "price": 1, "card": "***"}]
    assert len(results.dead_letters()) == 1


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"agent": "route"}, "sends to the route 'late', which is not declared (declared: none)"),
        ({"agent": "once", "batching": {"size": 2}}, "'once' does not work on batches"),
        (
            {"agent": "once", "error_policy": "drop", "max_hold_seconds": 9},
            "max_hold_seconds would have no effect",
        ),
    ],
)
def test_what_python_refuses_is_refused_with_the_place(
    tmp_path: Path, stage: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        declared(tmp_path, [stage])
    assert told in str(refused.value)
    assert f"{tmp_path}/config.json:1:" in str(refused.value)
    assert "data_pipelines.p" in str(refused.value)


def test_exceptions_that_are_named_are_those_of_the_closed_list() -> None:
    with pytest.raises(ValidationError, match="did you mean 'KeyError'"):
        DeclaredStage.model_validate_json(
            '{"agent": "a", "by_exception": {"KeyErr": {"error_policy": "drop"}}}'
        )


def test_a_schema_with_a_title_is_that_name_for_the_whole_file(tmp_path: Path) -> None:
    order = {"title": "Order", "type": "object", "properties": {"title": {"type": "string"}}}
    content = {
        "data_agents": {
            "once": AGENT,  # it names Order, before and after the schema
            "check": {**CHECK, "output_schema": {**order, "required": ["title"]}},
        },
        "data_pipelines": {
            "p": {"source": "in", "sink": "out", "stages": [{"agent": "check"}, {"agent": "once"}]},
            "q": {
                "source": {"topic": "in", "schema": {"title": "Any order", "type": "object"}},
                "stages": [{"agent": "once"}],
                "sink": "out",
            },
        },
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    file = read_configuration(path, {})
    assemble_declared(file.configuration, "p")
    with pytest.raises(ConfigurationError, match=r"step 1 .* nearest is 'once': no: 'title'"):
        assemble_declared(file.configuration, "q")


def test_topics_are_made_as_the_file_says(tmp_path: Path) -> None:
    topics = [{"name": "orders", "partitions": 8, "retention": "1d", "cleanup_policy": "compact"}]
    declared(tmp_path, [{"agent": "once"}], topics=topics)
    found = topics_of(f"{tmp_path}/config.json#p")
    catalogue = Catalogue().with_topics(found, "the file")
    (spec,) = catalogue.specs()
    assert (spec.name, spec.partitions, spec.config["retention.ms"]) == ("orders", 8, "86400000")
    other = DeclaredTopic(name="orders", partitions=2)
    with pytest.raises(TopicError, match="'orders' is declared in the file, and otherwise in"):
        Catalogue({"orders": other}).with_topics(found, "the file")
    assert topics_of("module:pipeline") == ()


def test_all_stages_that_cannot_stand_are_told(tmp_path: Path) -> None:
    stages = [{"agent": "route", "name": f"s{number}"} for number in range(3)]
    with pytest.raises(ConfigurationError) as refused:
        declared(tmp_path, stages)
    lines = str(refused.value).splitlines()
    assert [line.partition("stages[")[2][0] for line in lines] == ["0", "1", "2"]
