"""Agents that installed packages name are found by the commands, if their packages are allowed."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from streamapp.configuration import declared_agents
from tests.unit.cli.commands import printed, refusal, run, write
from tests.unit.configuration.hostile import AGENT

MODULE = """
from streamapp import Capability, agent


@agent(capabilities=[Capability.DATA_ENRICHMENT])
def price(value: dict) -> dict:
    return value
"""
STAGES = [{"agent": "price"}]


@pytest.fixture(autouse=True)
def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (folder / "installed_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    points = [
        EntryPoint("price", "installed_shop:price", "streamapp.agents"),
        EntryPoint("none", "installed_shop:none", "streamapp.agents"),
    ]
    monkeypatch.setattr(declared_agents, "entry_points", lambda **_group: points)
    declared_agents.installed.cache_clear()
    yield
    declared_agents.installed.cache_clear()


def ids(found: Any) -> set[str]:
    return {one["agent_id"] for one in found}


def test_they_are_listed_once_their_package_is_allowed() -> None:
    allowed = "agents list --allow-package installed_shop"
    assert "price" in ids(printed(allowed))
    told = run(allowed).stderr
    assert "none is not listed: installed_shop:none: the module has no 'none'" in told
    assert printed("agents show price --allow-package installed_shop")["version"] == "0"


def test_otherwise_it_is_told_what_to_do_and_nothing_is_imported() -> None:
    ended = run("agents list")
    assert '"price"' not in ended.stdout
    assert ended.stderr.count("price is not listed") == 1
    assert "start with --allow-package installed_shop" in ended.stderr
    assert "--allow-package installed_shop" in refusal("agents show price")


def test_a_declared_pipeline_names_one_that_is_allowed() -> None:
    write({"data_pipelines": {"orders": {"source": "orders", "stages": STAGES}}})
    assert "the agent 'price' is refused" in refusal("pipelines show orders")
    printed("pipelines show orders --allow-package installed_shop")


def test_an_agent_of_the_file_takes_its_place() -> None:
    write({"data_agents": {"price": AGENT}})
    ended = run("agents list --allow-package installed_shop")
    assert '"agent_class": "Deduplicator"' in ended.stdout
    assert "price is not listed" not in ended.stderr
