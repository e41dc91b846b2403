import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.cli.loading import load_pipeline
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import read_configuration
from streamapp.configuration.lint import lint
from streamapp.configuration.placed import PlacedError
from streamapp.errors import ConfigurationError
from streamapp.pipeline.stage import StageConfig
from streamapp.policies.policy import ErrorPolicy
from streamapp.testing import PipelineDriver
from tests.unit.configuration.hostile import AGENT

CHECK = {
    **AGENT,
    "agent_class": "Validator",
    "module_path": "streamapp.agents.validator",
    "capabilities": ["data_validation"],
    "configuration": {"json_schema": {"type": "object", "required": ["title"]}},
}
STAGES = [
    {"agent": "check", "error_policy": "dead_letter", "concurrency": 3, "name": "first"},
    {"capability": "stream_processing", "timeout_seconds": 5, "retry_count": 1},
]


def written(folder: Path, stages: list[dict[str, Any]], **more: Any) -> Path:
    path = folder / "config.json"
    agents = {"once": AGENT, "check": CHECK, **more}
    pipelines = {"orders": {"source": "orders", "sink": "orders.clean", "stages": stages}}
    path.write_text(json.dumps({"data_pipelines": pipelines, "data_agents": agents}))
    return path


def configuration(folder: Path, stages: list[dict[str, Any]], **more: Any) -> Configuration:
    return read_configuration(written(folder, stages, **more), {}).configuration


def test_a_pipeline_that_exists_only_in_a_file_runs(tmp_path: Path) -> None:
    path = written(tmp_path, STAGES)
    results = PipelineDriver(load_pipeline(f"{path}#orders")).run(
        [{"title": "a"}, {"title": "b"}, {}, {"title": "a"}]
    )
    assert results.outputs == [{"title": "a"}, {"title": "b"}]
    assert len(results.dead_letters("first")) == 1


def test_stages_have_their_names_and_settings(tmp_path: Path) -> None:
    made = assemble_declared(configuration(tmp_path, STAGES), "orders")
    assert made.members == (("check",), ("once",))
    first, second = made.pipeline.stages
    assert (first.stage_id, second.stage_id) == ("first", "stream_processing")
    assert first.config == StageConfig(
        error_policy=ErrorPolicy.DEAD_LETTER, concurrency=3, retry_count=2
    )
    assert second.config == StageConfig(timeout_seconds=5, retry_count=1)


def test_a_stage_changes_the_configuration_of_its_agent(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["name"]}
    stages: list[dict[str, Any]] = [
        {"agent": "check", "configuration": {"json_schema": schema}},
        {"agent": "once"},
    ]
    path = written(tmp_path, stages)
    results = PipelineDriver(load_pipeline(f"{path}#orders")).run([{"title": "a"}])
    assert len(results.dead_letters()) == 1


def test_an_agent_that_is_left_out_is_not_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, STAGES, another=AGENT)
    data = json.loads(path.read_bytes())
    for excluded, chosen in (("another", "once"), ("once", "another")):
        data["data_pipelines"]["orders"]["exclude"] = [excluded]
        path.write_text(json.dumps(data))
        read = read_configuration(path, {}).configuration
        assert assemble_declared(read, "orders").members[1] == (chosen,)


def test_an_agent_with_several_capabilities_needs_the_one_that_is_meant(tmp_path: Path) -> None:
    both = {**CHECK, "capabilities": ["data_validation", "data_enrichment"]}
    stages: list[dict[str, Any]] = [{"agent": "check"}, {"agent": "once"}]
    with pytest.raises(ConfigurationError, match="the agent 'check' offers 2 capab"):
        assemble_declared(configuration(tmp_path, stages, check=both), "orders")
    stages[0]["capability"] = "data_enrichment"
    made = assemble_declared(configuration(tmp_path, stages, check=both), "orders")
    assert made.pipeline.stages[0].stage_id == "data_enrichment"


def test_a_pipeline_may_have_one_stage(tmp_path: Path) -> None:
    read = configuration(tmp_path, [{"agent": "once"}])
    made = assemble_declared(read, "orders")
    assert made.members == (("once",),)
    assert PipelineDriver(made.pipeline).run([{"title": "a"}, {"title": "a"}]).outputs == [
        {"title": "a"}
    ]


def test_an_agent_may_stand_at_several_stages_each_with_a_configuration_of_its_own(
    tmp_path: Path,
) -> None:
    schemas = [{"type": "object", "required": [name]} for name in ("title", "price")]
    stages: list[dict[str, Any]] = [
        {"agent": "check", "name": f"s{n}", "configuration": {"json_schema": schema}}
        for n, schema in enumerate(schemas)
    ]
    made = assemble_declared(configuration(tmp_path, stages), "orders")
    assert made.choice.explanation.chain == ("check", "check")
    results = PipelineDriver(made.pipeline).run([{"title": "a", "price": 1}, {"title": "b"}, {}])
    assert len(results.outputs) == 1
    assert [len(results.dead_letters(name)) for name in ("s0", "s1")] == [1, 1]


def test_an_agent_that_is_named_is_not_chosen_for_another_stage(tmp_path: Path) -> None:
    stages: list[dict[str, Any]] = [{"agent": "once"}, {"capability": "stream_processing"}]
    with pytest.raises(ConfigurationError, match="would use an agent twice"):
        assemble_declared(configuration(tmp_path, stages), "orders")
    made = assemble_declared(configuration(tmp_path, stages, another=AGENT), "orders")
    assert made.members == (("once",), ("another",))


def test_an_agent_has_to_offer_what_it_is_wanted_for(tmp_path: Path) -> None:
    stages: list[dict[str, Any]] = [{"agent": "once", "capability": "data_validation"}]
    with pytest.raises(ConfigurationError, match="'once' does not offer data_validation; it off"):
        assemble_declared(configuration(tmp_path, stages), "orders")


def test_agents_that_do_not_follow_one_another_are_refused_with_the_step(tmp_path: Path) -> None:
    other = {**CHECK, "input_schema": "Invoice", "output_schema": "Invoice"}
    stages: list[dict[str, Any]] = [{"agent": "once"}, {"agent": "other"}]
    with pytest.raises(ConfigurationError, match=r"step 2 \(data_validation\): none of 1 agents"):
        assemble_declared(configuration(tmp_path, stages, other=other), "orders")


def test_lint_tells_the_place_of_a_pipeline_that_cannot_be_assembled(tmp_path: Path) -> None:
    stages = [{"agent": "check"}, {"capability": "data_aggregation"}]
    path = written(tmp_path, stages)
    with pytest.raises(
        ConfigurationError, match=rf"^{path}:1:107: data_pipelines\.orders\.stages\[1\]: .*\bno"
    ):
        lint(read_configuration(path, {}))


def test_a_misspelt_pipeline_gets_the_nearest_name(tmp_path: Path) -> None:
    path = written(tmp_path, STAGES)
    with pytest.raises(ConfigurationError, match=r"no pipeline 'order' .* mean 'orders'"):
        load_pipeline(f"{path}#order")


def test_what_was_only_imported_into_an_allowed_module_is_refused(tmp_path: Path) -> None:
    borrowed = {**CHECK, "agent_class": "BaseModel"}
    module = "streamapp.agents.data_transformer"
    stages = [{"agent": "check"}, {"agent": "once"}]
    read = configuration(tmp_path, stages, check={**borrowed, "module_path": module})
    with pytest.raises(PlacedError, match="was written in 'pydantic"):
        assemble_declared(read, "orders")
