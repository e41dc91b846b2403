"""What `run` loads: of a configuration file with the scores of its agents."""

import json
from pathlib import Path

import pytest

from streamapp.cli.runnable import (
    load_runnable,
)
from streamapp.cli.variables import AFTER_VARIABLE
from streamapp.errors import ConfigurationError
from streamapp.registry.assemble import Assembled
from streamapp.registry.score_file import FILE_NAME
from streamapp.registry.scores import SavedAgent, Scores

FILTER = {
    "agent_class": "Filter",
    "module_path": "streamapp.agents.filter",
    "capabilities": ["data_validation"],
    "input_schema": "Order",
    "output_schema": "Order",
    "configuration": {"rules": [{"path": "$.n", "operator": "more_than", "value": 0}]},
}


@pytest.fixture
def target(tmp_path: Path) -> str:
    other = {**FILTER, "capabilities": ["data_enrichment"]}
    stages = [{"capability": "data_validation"}, {"capability": "data_enrichment"}]
    content = {
        "data_agents": {"a": FILTER, "b": FILTER, "c": other},
        "data_pipelines": {"orders": {"source": "in", "sink": "out", "stages": stages}},
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    return f"{tmp_path}/config.json#orders"


def test_agents_are_chosen_by_the_scores_that_were_kept(target: str, tmp_path: Path) -> None:
    (first,) = load_runnable(target).topologies
    assert isinstance(first, Assembled)
    assert first.members == (("a",), ("c",))
    scores = Scores()
    scores.add("a", SavedAgent(successes=0, failures=20, seconds=0))
    (tmp_path / ".streamapp").mkdir()
    (tmp_path / ".streamapp" / FILE_NAME).write_text(json.dumps(scores.snapshot()))
    runnable = load_runnable(target)
    (second,), reassembly = runnable.topologies, runnable.reassembly
    assert isinstance(second, Assembled)
    assert second.members == (("b",), ("c",))
    assert reassembly is not None
    assert reassembly.open_seconds == 60


def test_a_module_has_no_scores() -> None:
    runnable = load_runnable("streamapp.examples.playback.pipeline:pipeline")
    (topology,), reassembly = runnable.topologies, runnable.reassembly
    assert not isinstance(topology, Assembled)
    assert reassembly is None


@pytest.mark.parametrize(("given", "seconds"), [("2.5", 2.5), ("never", None), ("", 60.0)])
def test_the_environment_says_when_an_agent_is_replaced(
    target: str, monkeypatch: pytest.MonkeyPatch, given: str, seconds: float | None
) -> None:
    monkeypatch.setenv(AFTER_VARIABLE, given)
    reassembly = load_runnable(target).reassembly
    assert reassembly is not None
    assert reassembly.open_seconds == seconds


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf"])
def test_a_wrong_time_is_told(target: str, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(AFTER_VARIABLE, given)
    with pytest.raises(ConfigurationError, match=f"^{AFTER_VARIABLE} is '{given}'; give a number"):
        load_runnable(target)
