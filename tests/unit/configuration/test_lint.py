"""Lint tells in one round all that can be found independently."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.file import read_with_faults
from streamapp.configuration.lint import lint
from streamapp.errors import ConfigurationError
from tests.unit.configuration.hostile import AGENT

GOOD = {"once": AGENT, "again": AGENT}
TYPED: dict[str, Any] = {
    name: {
        **AGENT,
        "input_schema": {"type": "object", "required": [name]},
        "output_schema": {"type": "object", "required": [name]},
    }
    for name in ("a", "b", "c")
}


def told(folder: Path, **sections: Any) -> list[str]:
    path = folder / "config.json"
    path.write_text(json.dumps(sections))
    with pytest.raises(ConfigurationError) as refused:
        lint(read_with_faults(path, {}))
    return str(refused.value).splitlines()


def pipeline(*agents: Any, **fields: Any) -> dict[str, Any]:
    stages = [{"agent": one} if isinstance(one, str) else one for one in agents]
    return {"source": "in", "sink": "out", "stages": stages, **fields}


def places(lines: list[str]) -> list[str]:
    return [line.split(": ")[1] for line in lines]


def test_faults_of_reading_and_of_making_are_told_together(tmp_path: Path) -> None:
    lines = told(
        tmp_path,
        data_agents={
            **GOOD,
            "typo": {**AGENT, "capabilites": []},
            "unset": {**AGENT, "configuration": {"key": "title", "window": 1}},
            "foreign": {**AGENT, "module_path": "shop.agents"},
        },
        data_pipelines={
            "whole": pipeline("once", {"agent": "once", "name": "once more", "fused": True}),
            "misspelt": pipeline({"agent": "once", "retries": 1}, "onec", exclude=["agian"]),
            "lost": pipeline("once", {"capability": "data_aggregation"}),
            "fused": pipeline({"agent": "once", "fused": True}, {"agent": "again", "name": "s"}),
        },
        cli_settings={"auto_save": "yes"},
    )
    assert set(places(lines)) == {
        "data_agents.typo.capabilites",
        "data_agents.unset.configuration.window",
        "data_agents.foreign.module_path",
        "data_pipelines.whole",
        "data_pipelines.misspelt.stages[0].retries",
        "data_pipelines.misspelt.stages[1].agent",
        "data_pipelines.misspelt.exclude[0]",
        "data_pipelines.fused",
        "cli_settings.auto_save",
    }
    positions = [tuple(map(int, line.split(": ")[0].split(":")[-2:])) for line in lines]
    assert positions == sorted(positions)


def test_what_depends_on_a_fault_is_not_told_once_more(tmp_path: Path) -> None:
    lines = told(
        tmp_path,
        data_providers={"models": {"kind": 1}},
        data_agents={
            **GOOD,
            "typo": {**AGENT, "capabilites": []},
            "asks": {**AGENT, "configuration": {"provider": "models"}},
        },
        data_pipelines={
            "of a typo": pipeline("once", "typo"),
            "chosen": pipeline("once", {"capability": "stream_processing"}),
            "asking": pipeline("asks", "once"),
        },
    )
    assert places(lines) == ["data_providers.models.kind", "data_agents.typo.capabilites"]


def test_all_neighbours_that_do_not_fit_are_told(tmp_path: Path) -> None:
    wrong = {"agent": "a", "configuration": {"kye": 1}}
    for first, first_place in (("a", "data_pipelines.p.stages[1]"), (wrong, None)):
        lines = told(
            tmp_path, data_agents=TYPED, data_pipelines={"p": pipeline(first, "b", "b", "c")}
        )
        expected = "data_pipelines.p.stages[0].agent" if first_place is None else first_place
        assert expected in places(lines)
        assert {"data_pipelines.p.stages[1]", "data_pipelines.p.stages[3]"} <= set(places(lines))
        assert "'c' does not take what 'b' gives: no: 'c' is required" in lines[-1]


def test_neighbours_of_a_wrong_agent_are_compared_as_well(tmp_path: Path) -> None:
    agents = {**TYPED, "typo": {**AGENT, "capabilites": []}}
    lines = told(
        tmp_path, data_agents=agents, data_pipelines={"p": pipeline("typo", "a", "b", "typo")}
    )
    assert places(lines) == ["data_agents.typo.capabilites", "data_pipelines.p.stages[2]"]


def test_all_faults_of_stages_and_of_the_whole_are_told(tmp_path: Path) -> None:
    stages = [
        {"agent": "once", "name": "same", "breaker": None, "max_hold_seconds": 5},
        {"agent": "once", "name": "same", "breaker": None, "after_hold": "stop"},
    ]
    lines = told(tmp_path, data_agents=GOOD, data_pipelines={"p": pipeline(*stages)})
    assert places(lines) == [
        "data_pipelines.p",
        "data_pipelines.p.stages[0]",
        "data_pipelines.p.stages[1]",
    ]


def test_patterns_and_paths_are_read_with_the_file(tmp_path: Path) -> None:
    lines = told(
        tmp_path,
        data_agents=GOOD,
        data_pipelines={
            "p": pipeline(
                "once",
                source=[{"pattern": "("}, {"pattern": "*"}],
                middleware=[{"redaction": {"paths": [""]}}],
            )
        },
    )
    assert places(lines) == [
        "data_pipelines.p.source[0]",
        "data_pipelines.p.source[1]",
        "data_pipelines.p.middleware[0].redaction",
    ]


def test_a_variable_that_is_wrong_is_told_with_the_faults_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"cli_settings": {"auto_save": "yes"}}))
    variables = {"STREAMAPP_CLI_SETTINGS_LOG_LEVEL": "LOUD"}
    with pytest.raises(ConfigurationError) as refused:
        lint(read_with_faults(path, variables))
    assert "cli_settings.auto_save: " in str(refused.value)
    assert "STREAMAPP_CLI_SETTINGS_LOG_LEVEL: " in str(refused.value)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "x", [], [None]])
@pytest.mark.parametrize("section", ["", "data_agents", "data_pipelines", "data_providers"])
def test_what_is_no_object_is_a_fault_like_others(tmp_path: Path, value: Any, section: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({section: value} if section else value))
    with pytest.raises(ConfigurationError, match=r"give an object, \{\.\.\.\}"):
        lint(read_with_faults(path, {}))
