"""Compositions of a file are the combinators of the same names, and run like them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamapp.agents.rules import Condition, Conditions
from streamapp.cli.plan_json import as_json
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, read_configuration
from streamapp.configuration.lint import lint
from streamapp.configuration.merge import Merge
from streamapp.errors import ConfigurationError
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.choose import choose
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.pipeline.combinators.pool import pool
from streamapp.pipeline.combinators.when import when
from streamapp.pipeline.outline import outline_of
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter
from streamapp.registry.instantiate import make_agent
from streamapp.testing import PipelineDriver
from streamapp.topics.topic import Topic
from tests.unit.configuration.hostile import AGENT


def mapper(field: str, value: Any) -> dict[str, Any]:
    """An agent that keeps an object and sets a field."""
    return {
        **AGENT,
        "agent_class": "FieldMapper",
        "module_path": "streamapp.agents.field_mapper",
        "capabilities": ["data_transformation"],
        "configuration": {"fields": {field: {"value": value}}},
    }


def refuser(value: int) -> dict[str, Any]:
    """An agent that refuses objects whose field `n` is this."""
    rule = {"path": "n", "operator": "not_equals", "value": value}
    return {
        **AGENT,
        "agent_class": "Validator",
        "module_path": "streamapp.agents.validator",
        "capabilities": ["data_validation"],
        "configuration": {"rules": [rule]},
    }


AGENTS = {"a": mapper("a", 1), "b": mapper("b", 2), "c": mapper("a", 1), "v": refuser(2)}
RULES = {"rules": [{"path": "n", "operator": "at_least", "value": 2}]}


def read(folder: Path, agent: Any, **fields: Any) -> ConfigurationFile:
    path = folder / "config.json"
    stage = {"agent": agent, "name": "s", "error_policy": "dead_letter"}
    declared = {"source": "in", "sink": "out", "stages": [stage], **fields}
    path.write_text(json.dumps({"data_agents": AGENTS, "data_pipelines": {"p": declared}}))
    return read_configuration(path, {})


def in_python(agent: Agent[Any, Any]) -> Pipeline[Any, Any]:
    source = Topic("in", agent.input_type)
    return Pipeline("p", source=source).stage(agent, name="s", on_error=dead_letter()).sink("out")


def made(file: ConfigurationFile, composition: Any) -> Agent[Any, Any]:
    """The same in Python, by the combinators themselves."""
    registry = registry_of(file.configuration)

    def one(what: Any) -> Agent[Any, Any]:
        match what:
            case str():
                return make_agent(registry, what)
            case {"chain": parts}:
                return chain(*map(one, parts))
            case {"fallback": parts}:
                return fallback(*map(one, parts))
            case {"pool": parts, "capacity": capacity}:
                return pool(*map(one, parts), capacity=capacity)
            case {"choose": cases, "otherwise": otherwise}:
                return choose(*map(case_of, cases), otherwise=one(otherwise))
            case {"parallel": parts}:
                agents = [one(part) for part in parts.values()]
                join = Merge(tuple(parts), agents)
                name = "-and-".join(agent.name for agent in agents)
                return parallel(*agents).join(join, name=name)
        raise AssertionError(what)

    def case_of(case: Any) -> Any:
        conditions = Conditions(Condition.model_validate(case["when"]))

        def holds(value: Any) -> bool:
            return conditions.hold(value)

        return when(holds, one(case["agent"]))

    return one(composition)


def two(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Two different ones, whose names differ."""
    return st.lists(parts, min_size=2, max_size=2, unique_by=json.dumps)


PLAIN = st.sampled_from(["a", "b", "c", "v"])
COMPOSITIONS = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"chain": parts}, two(inner)),
        st.builds(lambda parts: {"fallback": parts}, two(PLAIN)),
        st.just({"pool": ["a", "c"], "capacity": 2}),  # which of them works makes no difference
        st.builds(
            lambda one, other: {"choose": [{"when": RULES, "agent": one}], "otherwise": other},
            inner,
            inner,
        ),
        st.builds(lambda one, other: {"parallel": {"x": one, "y": other}}, inner, inner),
    ),
    max_leaves=5,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(composition=COMPOSITIONS)
def test_a_composition_plans_and_runs_as_the_same_in_python(
    tmp_path: Path, composition: Any
) -> None:
    file = read(tmp_path, composition)
    python: Pipeline[Any, Any] | ConfigurationError
    try:
        python = in_python(made(file, composition))
        build(python)
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            assemble_declared(file.configuration, "p")
        return
    declared = assemble_declared(file.configuration, "p").pipeline
    assert as_json(outline_of(build(declared))) == as_json(outline_of(build(python)))
    values = [{"n": number} for number in range(4)]
    ours, theirs = (PipelineDriver(one).run(values) for one in (declared, python))
    assert ours.outputs == theirs.outputs
    letters, expected = ([one.value for one in run.dead_letters()] for run in (ours, theirs))
    assert letters == expected


def test_outputs_of_branches_become_fields(tmp_path: Path) -> None:
    file = read(tmp_path, {"parallel": {"x": "a", "y": "b"}})
    made = assemble_declared(file.configuration, "p").pipeline
    assert PipelineDriver(made).run([{"n": 1}]).outputs == [
        {"x": {"n": 1, "a": 1}, "y": {"n": 1, "b": 2}}
    ]


def test_a_join_with_the_input_overwrites_nothing(tmp_path: Path) -> None:
    file = read(tmp_path, {"parallel": {"x": "a", "y": "b"}, "join": "input"})
    made = assemble_declared(file.configuration, "p").pipeline
    results = PipelineDriver(made).run([{"n": 1}, {"n": 1, "x": 0}])
    assert results.outputs == [{"n": 1, "x": {"n": 1, "a": 1}, "y": {"n": 1, "b": 2}}]
    assert len(results.dead_letters()) == 1


def test_a_branch_has_a_default(tmp_path: Path) -> None:
    branch = {"branch": "v", "default": {"bad": True}}
    file = read(tmp_path, {"parallel": {"x": branch, "y": "b"}})
    made = assemble_declared(file.configuration, "p").pipeline
    assert PipelineDriver(made).run([{"n": 2}]).outputs == [
        {"x": {"bad": True}, "y": {"n": 2, "b": 2}}
    ]


def test_parts_have_configurations_and_names_of_their_own(tmp_path: Path) -> None:
    fields = {"a": {"value": 9}}
    again = {"agent": "a", "name": "again", "configuration": {"fields": fields}}
    file = read(tmp_path, {"pool": ["a", again], "capacity": [1, 2], "name": "both"})
    assembled = assemble_declared(file.configuration, "p")
    agent = assembled.pipeline.stages[0].agent
    assert (agent.name, [one.name for one in agent.parts]) == ("both", ["a", "again"])
    assert assembled.members == (("a",),)
    assert len(PipelineDriver(assembled.pipeline).run([{"n": 1}]).outputs) == 1


def test_agents_of_a_capability_share_the_work_of_a_stage(tmp_path: Path) -> None:
    stages = [{"agent": "v"}, {"capability": "data_transformation", "pool": 3}]
    file = read(tmp_path, "a", stages=stages)
    assembled = assemble_declared(file.configuration, "p")
    assert assembled.members == (("v",), ("a", "b", "c"))
    assert assembled.pipeline.stages[1].agent.kind == "pool"


def test_a_composition_stands_beside_agents_that_are_chosen(tmp_path: Path) -> None:
    stages = [
        {"agent": {"chain": ["a", "b"], "name": "both"}},
        {"capability": "data_validation"},
        {"agent": {"fallback": ["v", "a"]}, "capability": "data_transformation"},
    ]
    assembled = assemble_declared(read(tmp_path, "a", stages=stages).configuration, "p")
    assert assembled.members == (("a", "b"), ("v",), ("v", "a"))
    assert [one.stage_id for one in assembled.pipeline.stages] == [
        "both",
        "data_validation",
        "data_transformation-2",
    ]


def test_every_stage_that_cannot_be_made_is_told_at_the_part_that_is_wrong(tmp_path: Path) -> None:
    wrong = {"agent": "a", "configuration": {"fields": {}, "typo": 1}}
    stages = [
        {"agent": {"chain": ["b", {"fallback": ["v", wrong]}]}},
        {"agent": {"pool": ["a", "a"], "capacity": 2}, "name": "second"},
    ]
    file = read(tmp_path, "a", stages=stages)
    with pytest.raises(ConfigurationError) as refused:
        lint(file)
    lines = str(refused.value).splitlines()
    assert "data_pipelines.p.stages[0].agent.chain[1].fallback[1]: " in lines[0]
    assert "data_pipelines.p.stages[1].agent: " in lines[-1]
