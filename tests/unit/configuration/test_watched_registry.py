"""A registry follows its configuration file."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.declared_agents import SHIPPED, registry_of
from streamapp.configuration.file import read_configuration
from streamapp.configuration.watched_registry import WatchedRegistry
from streamapp.errors import RegistryError
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


def schema(**properties: str) -> dict[str, Any]:
    """The JSON schema of an order, whose title is its name in the file."""
    return {
        "title": "Order",
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": sorted(properties),
    }


def following(registry: AgentRegistry, name: str) -> list[str]:
    """The agents of the file that can stand after a schema."""
    found = {one.agent_id for one in registry.find_compatible(name)}
    return sorted(found & set(own(registry)))


def test_a_name_means_what_the_file_says_now_for_agents_that_only_name_it(path: Path) -> None:
    text = {**FILTER, "input_schema": {**schema(total="string"), "title": "Text"}}
    write(path, one={**FILTER, "output_schema": schema(total="integer")}, two=FILTER, text=text)
    watch, registry = watched(path)
    assert following(registry, "Order") == ["one", "two"]
    before = registry.version
    write(path, one={**FILTER, "output_schema": schema(total="string")}, two=FILTER, text=text)
    asyncio.run(watch.refresh())
    fresh = registry_of(read_configuration(path, {}).configuration)
    for either in (registry, fresh):  # the running registry answers as one that was read anew
        assert following(either, "Order") == ["one", "text", "two"]
        assert following(either, "Text") == ["one", "text", "two"]
    assert registry.version != before


def test_a_name_that_leaves_the_file_means_nothing_any_more(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write(path, one={**FILTER, "output_schema": schema(total="integer")}, two=FILTER)
    watch, registry = watched(path)
    write(path, two=FILTER)
    asyncio.run(watch.refresh())
    assert not registry.entry("two").input_.is_bound
    with pytest.raises(RegistryError, match="no schema 'Order'"):
        registry.find_compatible("Order")
    assert "the schema 'Order' is gone" in caplog.text


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
