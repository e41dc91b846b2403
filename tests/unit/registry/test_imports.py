"""Imports: only what is allowed, and nothing else, not even on the way to a refusal."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import ImportRefusedError, RegistryError
from streamapp.pipeline.agent import Agent
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.entry_points import register_entry_points
from streamapp.registry.imports import Importer
from streamapp.registry.instantiate import Meanings, close, instantiate, make_agent
from streamapp.registry.registry import AgentRegistry

FILES = {
    "reg_outside/__init__.py": "raise AssertionError('imported what is not allowed')",
    "reg_outside/agents.py": "",
    "reg_neighbour.py": """
from streamapp import agent

@agent
def elsewhere(value: int) -> int:
    return value

class Elsewhere:
    def __call__(self, value: int) -> int:
        return value
""",
    "reg_shop/__init__.py": "import os",
    "reg_shop/broken.py": "raise ValueError('no')",
    "reg_shop/leaves.py": "raise SystemExit(3)",
    "reg_shop/disguised.py": "import sys, os\nsys.modules[__name__] = os",
    "reg_shop/lazy.py": "def __getattr__(name):\n    import reg_outside\n    return reg_outside",
    "reg_shop/agents.py": """
import functools
import os
import subprocess
from builtins import eval
from os import system
from subprocess import Popen

from pydantic import BaseModel
from reg_neighbour import Elsewhere, elsewhere
from streamapp import Capability, agent, batch_agent, chain, pool

@agent(capabilities=[Capability.DATA_TRANSFORMATION])
def double(value: int) -> int:
    return 2 * value

@agent
def plain(value: int) -> int:
    return value

@agent
def upper(value: str) -> str:
    return value.upper()

with_a_stranger = chain(plain, elsewhere)
both = chain(double, plain)
wrapped_stranger = agent(name="w", input_type=str, output_type=int)(functools.partial(system))

class Scaled:
    capabilities = (Capability.DATA_TRANSFORMATION,)

    class Configuration(BaseModel):
        factor: int = 2
        label: str = ""

    def __init__(self, configuration):
        self.configuration = configuration
        self.calls = []

    async def open(self):
        self.calls.append("open")

    async def close(self):
        self.calls.append("close")

    async def __call__(self, value: int) -> int:
        return value * self.configuration.factor

class Failing(Scaled):
    async def open(self):
        raise OSError("no route")

class Raising:
    def __init__(self):
        raise KeyError("x")

    def __call__(self, value: int) -> int:
        return value

class NoAgent:
    pass

class Untyped:
    def __call__(self, value):
        return value

module_of_nobody = type("Odd", (), {"__module__": "nobody", "__call__": Untyped.__call__})
number = 3
instance = NoAgent()
_hidden = double
""",
}


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith("reg_")]:
        del sys.modules[name]


def _registry(**fields: Any) -> AgentRegistry:
    registry = AgentRegistry(["reg_shop"])
    registry.register(_definition(**fields))
    return registry


def _definition(**fields: Any) -> AgentDefinition:
    schema = {"type": "integer"}
    return AgentDefinition.model_validate(
        {
            "agent_id": "tried",
            "agent_class": "Scaled",
            "module_path": "reg_shop.agents",
            "input_schema": schema,
            "output_schema": schema,
            **fields,
        }
    )


@pytest.mark.parametrize("name", ["double", "both", "Scaled"])
def test_agents_and_classes_of_allowed_packages_are_imported(name: str) -> None:
    found = Importer(["reg_shop"]).agent("reg_shop.agents", name)
    assert isinstance(found, Agent) or found.__name__ == name


REFUSED = [
    # not allowed: nothing is imported
    ("reg_outside.agents", "double", "if you trust it, add 'reg_outside' to allowed_packages"),
    ("reg_outside", "double", "is in no allowed package"),
    ("reg_shopping", "double", "is in no allowed package"),
    ("reg", "double", "is in no allowed package"),
    ("os", "system", "is in no allowed package"),
    ("builtins", "eval", "is in no allowed package"),
    ("subprocess", "Popen", "is in no allowed package"),
    ("streamapp.cli.main", "main", "is in no allowed package"),
    # no names
    ("reg_shop.agents.os", "system:x", "give a module and one name in it"),
    ("reg_shop.agents", "os.system", "give a module and one name in it"),
    ("reg_shop.agents:os", "system", "give a module and one name in it"),
    ("..reg_outside", "agents", "give a module and one name in it"),
    ("reg_shop..agents", "double", "give a module and one name in it"),
    (".reg_shop", "double", "give a module and one name in it"),
    ("reg_shop/../reg_outside", "double", "give a module and one name in it"),
    ("reg_shop.{x}", "double", "give a module and one name in it"),
    ("reg_shop\x00", "double", "give a module and one name in it"),
    ("\uff52eg_shop", "double", "give a module and one name in it"),  # a wide r
    ("", "double", "give a module and one name in it"),
    # walks through what was imported
    ("reg_shop.agents.os", "system", "ModuleNotFoundError"),
    ("reg_shop.os", "system", "ModuleNotFoundError"),
    # in an allowed module, and not written there
    ("reg_shop", "os", "is the module os; give an agent"),
    ("reg_shop.agents", "os", "is the module os; give an agent"),
    ("reg_shop.agents", "system", "is the function system; give an agent"),
    ("reg_shop.agents", "eval", "is the function eval; give an agent"),
    ("reg_shop.agents", "Popen", "was written in 'subprocess', which is in no allowed package"),
    ("reg_shop.agents", "elsewhere", "was written in 'reg_neighbour'"),
    ("reg_shop.agents", "Elsewhere", "was written in 'reg_neighbour'"),
    ("reg_shop.agents", "with_a_stranger", "was written in 'reg_neighbour'"),
    ("reg_shop.agents", "wrapped_stranger", "was written in"),
    ("reg_shop.agents", "module_of_nobody", "was written in 'nobody'"),
    # no agents
    ("reg_shop.agents", "NoAgent", "the class NoAgent is no agent: give it a method __call__"),
    ("reg_shop.agents", "Untyped", "the class Untyped is no agent: "),
    ("reg_shop.agents", "number", "is a value of type int"),
    ("reg_shop.agents", "instance", "is a value of type NoAgent"),
    ("reg_shop.agents", "doubel", "the module has no 'doubel'"),
    ("reg_shop.agents", "__builtins__", "is a value of type dict"),
    ("reg_shop.agents", "__loader__", "is a value of type"),
    # modules that fail, or are not what they seem
    ("reg_shop.broken", "double", "failed with ValueError: no"),
    ("reg_shop.leaves", "double", "failed with SystemExit: 3"),
    ("reg_shop.missing", "double", "failed with ModuleNotFoundError"),
    ("reg_shop.disguised", "system", "has put something else in its place"),
    ("reg_shop.lazy", "agents", "the module has no 'agents'"),
]


@pytest.mark.parametrize(("module", "attribute", "told"), REFUSED)
def test_everything_else_is_refused(module: str, attribute: str, told: str) -> None:
    with pytest.raises(ImportRefusedError) as raised:
        Importer(["reg_shop"]).agent(module, attribute)
    assert told in str(raised.value)
    if "in no allowed package" in str(raised.value):
        assert "' to allowed_packages" in str(raised.value)
    assert "reg_outside" not in sys.modules
    assert "\n" not in str(raised.value)


def test_nothing_is_imported_for_what_is_not_allowed() -> None:
    before = set(sys.modules)
    for module, attribute, told in REFUSED:
        if told.startswith(("is in no allowed package", "give a module")):
            with pytest.raises(ImportRefusedError):
                Importer(["reg_shop"]).agent(module, attribute)
    assert set(sys.modules) == before


def test_without_allowed_packages_nothing_is_imported() -> None:
    with pytest.raises(ImportRefusedError, match="is in no allowed package"):
        Importer().agent("reg_shop.agents", "double")
    assert "reg_shop" not in sys.modules


@pytest.mark.parametrize("name", ["reg_shop.agents", "a.b.c"])
def test_the_packages_around_an_allowed_one_have_to_be_allowed_too(name: str) -> None:
    with pytest.raises(ImportRefusedError, match=r"first; allow '\w+': add '\w+' to allowed_pack"):
        Importer([name])


@pytest.mark.parametrize("name", ["", "*", "reg_shop.*", "reg shop", "../reg_shop"])
def test_only_names_of_packages_can_be_allowed(name: str) -> None:
    with pytest.raises(ImportRefusedError, match="is no name of a package"):
        Importer([name])


def test_a_part_of_this_package_can_be_allowed() -> None:
    assert Importer(["streamapp.agents"]).allows("streamapp.agents.deterministic")
    assert not Importer(["streamapp.agents"]).allows("streamapp.cli")


async def test_an_object_of_a_class_gets_its_configuration_and_is_opened_and_closed() -> None:
    registry = _registry(configuration={"factor": 3, "label": "x"})
    agent = await instantiate(registry, "tried", {"factor": 4})
    made: Any = agent.function
    assert await agent(5) == 20
    assert (made.configuration.factor, made.configuration.label) == (4, "x")
    assert agent.name == "tried"
    assert made.calls == ["open"]
    await close(agent)
    assert made.calls == ["open", "close"]


async def test_an_agent_that_cannot_be_opened_is_told() -> None:
    registry = _registry(agent_class="Failing")
    with pytest.raises(RegistryError, match="'tried' could not be opened: OSError: no route"):
        await instantiate(registry, "tried")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"factor": "many"}, r"^tried\.configuration\.factor: should be a valid integer"),
        (
            {"facter": 3},
            "tried.configuration.facter: there is no such field; did you mean 'factor'",
        ),
    ],
)
def test_overrides_are_checked_with_their_place(overrides: dict[str, Any], told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        make_agent(_registry(), "tried", overrides)


def test_an_agent_without_configuration_cannot_be_configured() -> None:
    with pytest.raises(RegistryError, match="'factor' cannot be set"):
        make_agent(_registry(agent_class="double"), "tried", {"factor": 3})
    with pytest.raises(RegistryError, match="'factor' cannot be set"):
        make_agent(_registry(agent_class="Raising"), "tried", {"factor": 3})


def test_a_class_that_raises_is_told() -> None:
    with pytest.raises(RegistryError, match=r"'tried': Raising could not be made: KeyError: 'x'"):
        make_agent(_registry(agent_class="Raising"), "tried")


def test_what_an_agent_takes_and_gives_is_held_against_its_definition() -> None:
    with pytest.raises(RegistryError, match="'tried' does not take its input_schema"):
        make_agent(_registry(agent_class="double", input_schema={"type": "string"}), "tried")
    with pytest.raises(RegistryError, match="'tried' does not give its output_schema"):
        make_agent(_registry(agent_class="double", output_schema={"type": "string"}), "tried")


def test_a_definition_may_say_more_of_the_outputs_than_the_type_does() -> None:
    narrower = {"type": "integer", "minimum": 0}
    assert (
        make_agent(_registry(agent_class="double", output_schema=narrower), "tried").name == "tried"
    )


def test_a_name_of_a_schema_means_the_same_to_all_agents_that_are_made_together() -> None:
    registry = _registry(agent_class="double", input_schema="Number", output_schema="Number")
    other = registry.get("tried").model_copy(update={"agent_id": "other", "agent_class": "upper"})
    registry.register(other)
    version = registry.version
    meanings: Meanings = {}
    make_agent(registry, "tried", meanings=meanings)
    assert meanings["Number"].type_ is int
    with pytest.raises(RegistryError, match="'other' does not take its input_schema Number"):
        make_agent(registry, "other", meanings=meanings)
    assert make_agent(registry, "other").input_type is str
    assert registry.version == version  # nothing that is chosen depends on what was made


def test_secrets_in_a_configuration_are_not_shown() -> None:
    class Secretive:
        class Configuration(BaseModel):
            model_config = {"hide_input_in_errors": True}

            port: int

        def __init__(self, configuration: BaseModel) -> None:
            self.configuration = configuration

        def __call__(self, value: int) -> int:
            return value

    registry = AgentRegistry()
    registry.register(Secretive, "s")
    with pytest.raises(RegistryError, match="not this value") as raised:
        make_agent(registry, "s", {"port": "hunter2"})
    assert "hunter2" not in str(raised.value)


def test_entry_points_are_registered_and_a_bad_one_harms_no_other() -> None:
    values = {
        "scaled": "reg_shop.agents:Scaled",
        "broken": "reg_shop.broken:double",
        "outside": "reg_outside.agents:double",
        "walk": "reg_shop.agents:os.system",
        "no-attribute": "reg_shop.agents",
        "double": "reg_shop.agents:double [extra]",
    }
    points = [EntryPoint(name, value, "streamapp.agents") for name, value in values.items()]
    registry = AgentRegistry(["reg_shop"])
    found = register_entry_points(registry, points)
    assert [one.name for one in found] == sorted(values)
    assert [one.name for one in found if one.is_registered] == ["scaled"]
    assert [one.agent_id for one in registry.list()] == ["scaled"]
    faults = {one.name: one.fault for one in found}
    assert "failed with ValueError: no" in faults["broken"]
    assert "is in no allowed package" in faults["outside"]
    assert "reg_outside" not in sys.modules
    [again] = register_entry_points(registry, points[:1])
    assert "there is an agent 'scaled' already" in again.fault


def test_the_installed_entry_points_are_looked_for() -> None:
    assert register_entry_points(AgentRegistry()) == ()
