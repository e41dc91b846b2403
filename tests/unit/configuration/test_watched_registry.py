"""A registry follows its configuration file."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.declared_agents import SHIPPED, registry_of
from streamapp.configuration.file import read_configuration
from streamapp.configuration.watched_registry import WatchedRegistry
from streamapp.registry.registry import AgentRegistry

FILTER = {
    "agent_class": "Filter",
    "module_path": "streamapp.agents.filter",
    "capabilities": ["data_validation"],
    "input_schema": "Order",
    "output_schema": "Order",
    "configuration": {"keep": []},
}


def write(path: Path, **agents: Any) -> None:
    path.write_text(json.dumps({"data_agents": agents}))


def watched(path: Path) -> tuple[WatchedRegistry, AgentRegistry]:
    file = read_configuration(path, {})
    registry = registry_of(file.configuration)
    return WatchedRegistry(file, registry, {}), registry


def own(registry: AgentRegistry) -> list[str]:
    return [one.agent_id for one in registry.list() if one.agent_id not in SHIPPED]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    write(path, one=FILTER, two=FILTER)
    return path


def test_agents_go_come_and_change_with_the_file(path: Path) -> None:
    watch, registry = watched(path)
    version = registry.version
    asyncio.run(watch.refresh())
    assert registry.version == version
    write(path, two={**FILTER, "version": "2"}, three=FILTER)
    asyncio.run(watch.refresh())
    assert own(registry) == ["three", "two"]
    assert registry.get("two").version == "2"


@pytest.mark.parametrize("content", ["{", '{"data_agents": {"one": {}}}', '{"data_agents": []}'])
def test_a_file_that_is_wrong_changes_nothing_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    watch, registry = watched(path)
    path.write_text(content)
    asyncio.run(watch.refresh())
    asyncio.run(watch.refresh())
    assert own(registry) == ["one", "two"]
    assert len(caplog.messages) == 1
    assert "has changed and is not followed" in caplog.text
    write(path, one=FILTER)
    asyncio.run(watch.refresh())
    assert own(registry) == ["one"]


def test_without_the_file_all_agents_stay(path: Path) -> None:
    watch, registry = watched(path)
    path.unlink()
    asyncio.run(watch.refresh())
    assert own(registry) == ["one", "two"]
