import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from streamapp.configuration.file import read_configuration
from streamapp.configuration.schema import configuration_schema
from streamapp.errors import ConfigurationError
from tests.unit.configuration.hostile import AGENT, provider

ROOT = Path(__file__).parents[3]


def test_the_published_schema_is_current() -> None:
    published = ROOT / "docs" / "reference" / "atomic_data_config.schema.json"
    assert json.loads(published.read_bytes()) == configuration_schema(), (
        f"regenerate: streamapp config schema > {published.relative_to(ROOT)}"
    )


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"$schema": "x", "x-note": [1]},
        {"data_agents": {"once": AGENT}},
        {"data_agents": {"once": {**AGENT, "agent_id": "once"}}},
        {"data_agents": {"once": {**AGENT, "resource_requirements": {"storage": "10 GB"}}}},
        json.loads(provider(limits={"calls_per_minute": 1})),
        {"cli_settings": {"output_format": "table"}},
    ],
)
def test_editors_take_what_the_check_takes(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data))
    read_configuration(path, {})
    assert jsonschema_rs.is_valid(configuration_schema(), data)


@pytest.mark.parametrize(
    "data",
    [
        {"data_agent": {}},
        {"allowed_packages": ["shop"]},
        {"cli_settings": {"log_level": "LOUD"}},
        {"data_monitoring": {"metrics_retention_days": 0}},
        {"data_agents": {"once": {**AGENT, "capabilities": ["flying"]}}},
        {"data_agents": {"once": {**AGENT, "resource_requirements": {"storage": "ten"}}}},
        {"data_agents": {"not an id": AGENT}},
        json.loads(provider(api_key="k")),
    ],
)
def test_editors_see_what_the_check_refuses(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigurationError):
        read_configuration(path, {})
    assert not jsonschema_rs.is_valid(configuration_schema(), data)
