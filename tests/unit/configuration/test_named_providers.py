"""The name of a provider becomes the provider, wherever the file configures an agent."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamapp.agents.data_transformer import TransformationInput
from streamapp.configuration.declared_pipelines import assemble_declared
from streamapp.configuration.file import ConfigurationFile, read_with_faults
from streamapp.configuration.lint import lint
from streamapp.errors import ConfigurationError
from streamapp.testing import PipelineDriver
from tests.unit.configuration.hostile import AGENT


def written(folder: Path, content: dict[str, Any]) -> ConfigurationFile:
    """The file, which is looked through as far as that needs no agent."""
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    found = read_with_faults(path, {})
    lint(found, makes=False)
    return found.right()


def asking(provider: Any = "models") -> dict[str, Any]:
    return {"agent": "data_transformer", "configuration": {"provider": provider}}


PROVIDERS = {"models": {"kind": "test", "limits": {"calls_per_minute": 60}}}
STAGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "stages[0]": lambda one: one,
    "stages[0].agent": lambda one: {"agent": one},
    "stages[0].agent.chain[1]": lambda one: {"agent": {"chain": ["once", one]}},
    "stages[0].agent.pool[0].branch": lambda one: {
        "agent": {"pool": [{"branch": one}], "capacity": 1}
    },
    "stages[0].agent.parallel.configuration": lambda one: {
        "agent": {"parallel": {"agent": "once", "configuration": one}}
    },
    "stages[0].agent.choose[0].agent": lambda one: {
        "agent": {
            "choose": [{"when": {"rules": [{"path": "a", "operator": "exists"}]}, "agent": one}],
            "otherwise": "once",
        }
    },
    "stages[0].agent.otherwise.fallback[0]": lambda one: {
        "agent": {
            "choose": [{"when": {"rules": [{"path": "a", "operator": "exists"}]}, "agent": "once"}],
            "otherwise": {"fallback": [one, "once"]},
        }
    },
}


@pytest.mark.parametrize("place", STAGES)
def test_an_agent_of_a_stage_has_the_provider_that_it_names(tmp_path: Path, place: str) -> None:
    def stages_with(provider: Any) -> dict[str, Any]:
        pipeline = {"source": "in", "sink": "out", "stages": [STAGES[place](asking(provider))]}
        return {"data_agents": {"once": AGENT}, "data_pipelines": {"p": pipeline}}

    in_full = {"kind": "test", "calls_per_minute": 60, "key_from_environment": None}
    by_name = written(tmp_path, {**stages_with("models"), "data_providers": PROVIDERS})
    assert by_name.configuration.data_pipelines == (
        written(tmp_path, stages_with(in_full)).configuration.data_pipelines
    )
    where = rf"data_pipelines\.p\.{re.escape(place)}\.configuration\.provider"
    with pytest.raises(ConfigurationError, match=f"{where}: there is no provider 'model'; did you"):
        written(tmp_path, {**stages_with("model"), "data_providers": PROVIDERS})
    with pytest.raises(ConfigurationError, match=r"^[^\n]*data_providers.models.kind: [^\n]*$"):
        written(tmp_path, {**stages_with("models"), "data_providers": {"models": {"kind": 1}}})


def test_a_stage_asks_the_provider_that_it_names(tmp_path: Path) -> None:
    pipeline = {"source": "in", "sink": "out", "stages": [asking()]}
    read = written(tmp_path, {"data_pipelines": {"p": pipeline}, "data_providers": PROVIDERS})
    made = assemble_declared(read.configuration, "p").pipeline
    results = PipelineDriver(made).run([TransformationInput(data={"a": 1})])
    assert len(results.outputs) == 1
