"""Agents whose schemas are names of classes fit as these classes do."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration.configuration import Configuration
from streamapp.configuration.declared_agents import registry_of
from streamapp.configuration.file import read_configuration
from streamapp.configuration.watched_registry import WatchedRegistry
from streamapp.pipeline.capability import Capability
from streamapp.registry.suggest import suggest

CHECK, ENRICH = Capability.DATA_VALIDATION, Capability.DATA_ENRICHMENT

FIRST = """
from pydantic import BaseModel
from streamapp import agent

class Clean(BaseModel):
    session: str
    kind: str
    ms: int

@agent
def clean(value: Clean) -> Clean:
    return value
"""
SECOND = """
from pydantic import BaseModel
from streamapp import agent

class Needed(BaseModel):
    session: str
    kind: str

@agent
def enrich(value: Needed) -> Needed:
    return value
"""


def definition(module: str, name: str, schema: str, capability: Capability) -> dict[str, Any]:
    return {
        "agent_class": name,
        "module_path": module,
        "capabilities": [capability],
        "input_schema": schema,
        "output_schema": schema,
    }


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "named_first.py").write_text(FIRST)
    (tmp_path / "named_second.py").write_text(SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("named_first", "named_second"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    agents = {
        "clean": definition("named_first", "clean", "named_first.Clean", CHECK),
        "enrich": definition("named_second", "enrich", "Needed", ENRICH),
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"data_agents": agents}))
    return path


def read(path: Path, *packages: str) -> Configuration:
    return read_configuration(path, {}, packages=packages).configuration


def test_an_agent_takes_a_class_that_lacks_fields_of_the_one_before(path: Path) -> None:
    registry = registry_of(read(path, "named_first", "named_second"))
    assert [one.agents for one in suggest(registry, CHECK, ENRICH).chains] == [("clean", "enrich")]
    assert suggest(registry, "named_first.Clean", "Needed").chains
    assert not registry.schemas.of("Needed").type_.model_fields.keys() & {"ms"}


def test_without_leave_to_import_the_names_stay_names(path: Path) -> None:
    registry = registry_of(read(path))
    assert not suggest(registry, CHECK, ENRICH).chains
    assert not sys.modules.keys() & {"named_first", "named_second"}
    registry_of(read(path, "named_first", "named_second"), knows_classes=False)
    assert not sys.modules.keys() & {"named_first", "named_second"}


def test_one_that_cannot_be_imported_spoils_no_other(path: Path) -> None:
    (path.parent / "named_first.py").write_text("raise OSError('gone')")
    registry = registry_of(read(path, "named_first", "named_second"))
    assert registry.schemas.of("Needed").is_bound
    assert not registry.schemas.of("named_first.Clean").is_bound


def test_an_agent_that_comes_while_it_runs_is_known_too(path: Path) -> None:
    data = json.loads(path.read_bytes())
    late = data["data_agents"].pop("enrich")
    path.write_text(json.dumps(data))
    packages = ("named_first", "named_second")
    file = read_configuration(path, {}, packages=packages)
    registry = registry_of(file.configuration)
    watched = WatchedRegistry(file, registry, {}, packages=packages)
    data["data_agents"]["enrich"] = late
    path.write_text(json.dumps(data))
    asyncio.run(watched.refresh())
    assert [one.agents for one in suggest(registry, CHECK, ENRICH).chains] == [("clean", "enrich")]


def test_a_json_schema_that_comes_while_it_runs_is_known_too(path: Path) -> None:
    data = json.loads(path.read_bytes())
    file = read_configuration(path, {})
    registry = registry_of(file.configuration)
    watched = WatchedRegistry(file, registry, {})
    schema = {"title": "Late", "type": "object"}
    data["data_agents"]["late"] = {**data["data_agents"]["clean"], "input_schema": schema}
    data["data_agents"]["later"] = {**data["data_agents"]["clean"], "input_schema": "Late"}
    path.write_text(json.dumps(data))
    asyncio.run(watched.refresh())
    assert registry.schemas.of("Late").json_schema == schema
