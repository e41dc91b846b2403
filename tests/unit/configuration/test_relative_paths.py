"""Relative paths in a configuration file begin in its folder, wherever a command is started."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import read_configuration
from streamapp.pipeline.pipeline import Pipeline
from streamapp.registry.definition import read_definition
from streamapp.registry.instantiate import make_agent
from streamapp.registry.registry import AgentRegistry
from streamapp.testing import PipelineDriver
from streamapp.topics.topic import Topic
from tests.unit.configuration.hostile import AGENT

LOOKUP: dict[str, Any] = {
    **AGENT,
    "agent_class": "FileLookup",
    "module_path": "streamapp.agents.file_lookup",
    "capabilities": ["data_enrichment"],
}


def found(folder: Path, path: str, *, of_stage: bool) -> Any:
    """What a lookup in a file adds, whose path stands in the agent or in the stage."""
    settings = {"key": "title", "into": "about"}
    other = {"path": "nowhere.json"} if of_stage else {"path": path}
    stage = {"agent": "look", "configuration": {"path": path}} if of_stage else {"agent": "look"}
    agents = {"look": {**LOOKUP, "configuration": {**settings, **other}}}
    pipelines = {"p": {"source": "in", "sink": "out", "stages": [stage]}}
    file = folder / "config.json"
    file.write_text(json.dumps({"data_agents": agents, "data_pipelines": pipelines}))
    made = assemble_declared(read_configuration(file, {}).configuration, "p").pipeline
    return PipelineDriver(made).run([{"title": "t"}]).outputs[0]["about"]


@pytest.mark.parametrize("of_stage", [False, True])
@pytest.mark.parametrize("path", ["titles.json", "{folder}/titles.json", "../data/titles.json"])
def test_a_relative_path_begins_in_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, *, of_stage: bool
) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for one, content in ((folder, "of the file"), (elsewhere, "of the working directory")):
        one.mkdir()
        (one / "titles.json").write_text(json.dumps({"t": content}))
    monkeypatch.chdir(elsewhere)
    assert found(folder, path.format(folder=folder), of_stage=of_stage) == "of the file"


def test_the_path_of_an_agent_in_no_file_begins_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("titles.json").write_text(json.dumps({"t": 1}))
    registry = AgentRegistry(["streamapp.agents"])
    configuration = {"path": "titles.json", "key": "title", "into": "about"}
    definition = {**LOOKUP, "agent_id": "look", "configuration": configuration}
    registry.register(read_definition(definition))
    lookup = make_agent(registry, "look")
    pipeline = Pipeline("p", source=Topic("in", lookup.input_type)).stage(lookup).sink("out")
    assert PipelineDriver(pipeline).run([{"title": "t"}]).outputs == [{"title": "t", "about": 1}]
