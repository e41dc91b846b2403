"""What a configuration file of many pipelines makes us do: counts, never times."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, read_configuration
from streamapp.configuration.lint import lint
from streamapp.registry.entry import Entry
from streamapp.registry.imports import Importer
from streamapp.registry.indexes import Indexes
from streamapp.registry.search import ChainSearch
from tests.unit.configuration.hostile import AGENT

AGENTS = 20


NAMED = [{"agent": "agent-0"}, {"agent": "agent-1"}]


def written(folder: Path, pipelines: int, stages: Sequence[Any] = NAMED) -> ConfigurationFile:
    path = folder / "config.json"
    path.write_text(
        json.dumps(
            {
                "data_agents": {f"agent-{number}": AGENT for number in range(AGENTS)},
                "data_pipelines": {
                    f"pipeline-{number}": {
                        "source": "in",
                        "stages": stages,
                        "sink": f"out-{number}",
                    }
                    for number in range(pipelines)
                },
            }
        )
    )
    return read_configuration(path, {})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()
    add, checked = Indexes.add, Importer._checked

    def counting_add(self: Indexes, entry: Entry) -> None:
        counts["indexed"] += 1
        add(self, entry)

    def counting_checked(self: Importer, where: str, found: Any) -> Any:
        counts["imported"] += 1
        return checked(self, where, found)

    monkeypatch.setattr(Indexes, "add", counting_add)
    monkeypatch.setattr(Importer, "_checked", counting_checked)
    return counts


def test_the_pipelines_of_a_file_share_one_registry(tmp_path: Path, counted: Counter[str]) -> None:
    few = written(tmp_path, 2)
    lint(few)
    of_few = counted.copy()
    # A class that many definitions name is looked at once; three ship with a definition.
    assert of_few["imported"] == 1 + 3
    counted.clear()
    lint(written(tmp_path, 50))
    assert counted == of_few


def test_a_question_that_many_pipelines_ask_is_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[object] = []
    chains = ChainSearch.chains

    def counting_chains(self: ChainSearch) -> Any:
        searched.append(self)
        return chains(self)

    monkeypatch.setattr(ChainSearch, "chains", counting_chains)
    any_agent = {"capability": "stream_processing"}
    file = written(tmp_path, 30, [any_agent, any_agent])
    lint(file)
    assert len(searched) == 1
    first, last = (
        assemble_declared(file.configuration, name) for name in ("pipeline-0", "pipeline-9")
    )
    assert first.members == last.members == (("agent-0",), ("agent-1",))
    searched.clear()
    lint(written(tmp_path, 30, [any_agent, {"agent": "agent-0"}]))
    assert len(searched) == 30  # an agent that is given is of one pipeline


def test_of_many_wrong_pipelines_some_are_told(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="there is no such field") as raised:
        lint(written(tmp_path, 80, [NAMED[0], {**NAMED[1], "configuration": {"kye": "title"}}]))
    assert len(str(raised.value).splitlines()) == 50


def test_places_are_looked_for_only_when_they_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[object] = []
    monkeypatch.setattr("streamapp.configuration.located_json.Places", looked_for.append)
    written(tmp_path, 50)
    assert not looked_for
