"""The registry: agents by id, by capability and by schema, whatever the order they came in."""

import random
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from streamapp.errors import RegistryError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.pool import pool
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.registry import AgentRegistry, Direction


class Raw(BaseModel):
    text: str


class Clean(BaseModel):
    text: str
    at: datetime


class Rich(Clean):
    country: str


@agent(capabilities=[Capability.DATA_VALIDATION])
def clean(raw: Raw) -> Clean:
    """Clean a text."""
    return Clean(text=raw.text, at=datetime(2020, 1, 1))  # noqa: DTZ001 - of no importance


@agent(capabilities=[Capability.DATA_ENRICHMENT])
def enrich(value: Clean) -> Rich:
    """Enrich it."""
    return Rich(**dict(value), country="de")


class Counter:
    """Counts."""

    capabilities = (Capability.DATA_AGGREGATION,)

    async def __call__(self, value: Clean) -> int:
        return len(value.text)


def definition(
    agent_id: str, *capabilities: str, takes: Any = "A", gives: Any = "B"
) -> AgentDefinition:
    return AgentDefinition(
        agent_id=agent_id,
        agent_class="Agent",
        module_path="shop.agents",
        capabilities=tuple(Capability(one) for one in capabilities),
        input_schema=takes,
        output_schema=gives,
    )


def ids(found: tuple[AgentDefinition, ...]) -> list[str]:
    return [one.agent_id for one in found]


def test_agents_and_classes_are_registered_as_they_are() -> None:
    registry = AgentRegistry()
    derived = registry.register(clean)
    assert derived.model_dump(exclude={"name", "configuration", "resource_requirements"}) == {
        "agent_id": "clean",
        "agent_class": "clean",
        "module_path": __name__,
        "capabilities": (Capability.DATA_VALIDATION,),
        "input_schema": f"{__name__}.Raw",
        "output_schema": f"{__name__}.Clean",
        "version": "0",
        "description": "Clean a text.",
    }
    assert registry.register(Counter).capabilities == (Capability.DATA_AGGREGATION,)
    assert registry.register(Counter, "second", version="2").version == "2"
    assert ids(registry.list()) == ["Counter", "clean", "second"]


def test_what_combinators_make_is_registered_with_what_its_parts_offer() -> None:
    registry = AgentRegistry()
    both = registry.register(chain(clean, enrich))
    assert both.agent_id == "clean-then-enrich"
    assert (both.input_schema, both.output_schema) == (f"{__name__}.Raw", f"{__name__}.Rich")
    assert set(both.capabilities) == {Capability.DATA_VALIDATION, Capability.DATA_ENRICHMENT}
    second = agent(name="second")(enrich.function)
    assert registry.register(pool(enrich, second, capacity=2)).agent_id == "enrich-or-second"


def test_an_id_is_taken_once_and_can_be_replaced_and_removed() -> None:
    registry = AgentRegistry()
    registry.register(definition("one", "data_validation"))
    with pytest.raises(RegistryError, match="an agent 'one' already; choose another id, or"):
        registry.register(definition("one"))
    registry.replace(definition("one", "data_enrichment", gives="C"))
    assert registry.find_by_capability("data_validation") == ()
    assert ids(registry.find_by_capability("data_enrichment")) == ["one"]
    assert registry.unregister("one").output_schema == "C"
    assert (len(registry), "one" in registry, registry.list()) == (0, False, ())
    assert registry.find_by_capability("data_enrichment") == ()


@pytest.mark.parametrize("method", ["get", "unregister", "entry"])
def test_an_unknown_id_is_told_with_the_nearest(method: str) -> None:
    registry = AgentRegistry()
    registry.register(definition("session-scorer"))
    with pytest.raises(
        RegistryError, match="no agent 'sesion-scorer'; did you mean 'session-scorer'"
    ):
        getattr(registry, method)("sesion-scorer")
    with pytest.raises(RegistryError, match="no agent 'x'"):
        registry.replace(definition("x"))


def test_a_replacement_that_is_wrong_leaves_what_was_there() -> None:
    registry = AgentRegistry()
    registry.register(definition("one"))
    with pytest.raises(RegistryError, match=r"agent 'one'\.version: "):
        registry.replace(clean, "one", version=3)
    assert registry.get("one") == definition("one")


@pytest.mark.parametrize("given", [3, "clean", object(), lambda value: value, dict, BaseModel])
def test_what_is_no_agent_is_refused(given: Any) -> None:
    with pytest.raises(RegistryError, match="is no agent"):
        AgentRegistry().register(given)


def test_a_class_with_wrong_parts_is_refused_when_it_is_registered() -> None:
    class NoModel(Counter):
        Configuration = dict

    class NoCapability(Counter):
        capabilities = ("fly",)  # type: ignore[assignment]  # the mistake

    for class_, told in ((NoModel, "give a pydantic model"), (NoCapability, "'fly'")):
        with pytest.raises(RegistryError, match=told):
            AgentRegistry().register(class_)


def test_agents_are_found_by_all_capabilities_that_are_asked_for() -> None:
    registry = AgentRegistry()
    registry.register(definition("b", "data_validation", "data_enrichment"))
    registry.register(definition("a", "data_validation"))
    assert ids(registry.find_by_capability(Capability.DATA_VALIDATION)) == ["a", "b"]
    assert ids(registry.find_by_capability("data_validation", "data_enrichment")) == ["b"]
    with pytest.raises(RegistryError, match="'data_validator' is no capability; did you mean"):
        registry.find_by_capability("data_validator")


def test_agents_are_found_by_what_they_can_follow_and_what_can_follow_them() -> None:
    registry = AgentRegistry()
    for given_agent in (clean, enrich, Counter):
        registry.register(given_agent)
    assert ids(registry.find_compatible(Rich)) == ["Counter", "clean", "enrich"]
    assert ids(registry.find_compatible("Clean", Direction.AFTER)) == ["Counter", "clean", "enrich"]
    assert ids(registry.find_compatible(Raw)) == ["clean"]
    assert ids(registry.find_compatible(Clean, "before")) == ["clean", "enrich"]
    assert ids(registry.find_compatible(Rich, Direction.BEFORE)) == ["enrich"]
    with pytest.raises(RegistryError, match="no schema 'Claen'; did you mean 'Clean'"):
        registry.find_compatible("Claen")


def test_a_declared_fit_counts_at_once() -> None:
    registry = AgentRegistry()
    registry.register(enrich)
    assert registry.find_compatible(Raw) == ()
    registry.check.declare(registry.schemas.of(Raw), registry.schemas.of(Clean), "at is added")
    assert ids(registry.find_compatible(Raw)) == ["enrich"]


def test_the_version_differs_after_every_change() -> None:
    registry = AgentRegistry()
    versions = {registry.version}
    registry.register(definition("one"))
    versions.add(registry.version)
    registry.schemas.bind("A", Raw)
    versions.add(registry.version)
    registry.check.declare(registry.schemas.of(Raw), registry.schemas.of(Clean), "so")
    versions.add(registry.version)
    registry.unregister("one")
    versions.add(registry.version)
    assert len(versions) == 5


JSON_SCHEMAS: list[Any] = [
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {}},
        "required": ["b", "a"],
        "additionalProperties": False,
    },
    {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    {"type": "object", "required": ["b"]},
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"type": "integer"}}}]},
    {"type": "object", "allOf": [{"required": ["b"]}]},
    {"anyOf": [{"type": "object", "required": ["b"]}, {"type": "string"}]},
    {"type": "string"},
    {},
    {"const": {"a": 1, "b": 2}},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "required": ["a", "b"]}}},
    "unbound",
]


@given(
    st.lists(st.tuples(st.sampled_from(JSON_SCHEMAS), st.sampled_from(JSON_SCHEMAS)), max_size=8),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_what_is_found_by_schema_is_what_a_look_at_all_agents_finds(
    pairs: list[tuple[Any, Any]], rng: random.Random, data: st.DataObject
) -> None:
    definitions = [
        definition(f"agent-{n}", takes=takes, gives=gives) for n, (takes, gives) in enumerate(pairs)
    ]
    registry = AgentRegistry()
    rng.shuffle(definitions)
    for one in definitions:
        registry.register(one)
    for one in data.draw(
        st.lists(st.sampled_from(definitions), unique_by=id) if definitions else st.just([])
    ):
        registry.unregister(one.agent_id)
        if data.draw(st.booleans()):
            registry.register(one)
    for schema in JSON_SCHEMAS[:-1]:
        known = registry.schemas.of(schema)
        entries = [registry.entry(one.agent_id) for one in registry.list()]
        after = [one.agent_id for one in entries if registry.check.fits(known, one.input_)]
        before = [one.agent_id for one in entries if registry.check.fits(one.output, known)]
        assert ids(registry.find_compatible(schema, "after")) == after
        assert ids(registry.find_compatible(schema, "before")) == before


def test_a_name_may_be_bound_after_the_agents_that_use_it() -> None:
    before, after = AgentRegistry(), AgentRegistry()
    after.schemas.bind("A", Raw)
    for registry in (before, after):
        registry.register(definition("one", takes="A", gives="A"))
        registry.register(clean)
    before.schemas.bind("A", Raw)
    for registry in (before, after):
        assert ids(registry.find_compatible(Raw)) == ["clean", "one"]
        assert ids(registry.find_compatible("A", "before")) == ["clean", "one"]


def _another_raw() -> type[BaseModel]:
    class Raw(BaseModel):
        number: int

    return Raw


def test_a_short_name_means_a_class_as_long_as_it_is_the_only_one() -> None:
    registry = AgentRegistry()
    registry.register(definition("one", takes="Raw", gives="A"))
    assert not registry.entry("one").input_.is_bound
    registry.register(clean)
    assert registry.entry("one").input_.type_ is Raw
    assert registry.schemas.bound("Raw").type_ is Raw
    other = _another_raw()
    registry.register(agent(name="other", input_type=other, output_type=int)(len))
    assert not registry.entry("one").input_.is_bound
    with pytest.raises(RegistryError, match=r"called 'Raw'; give one of .*\.Raw, .*\.Raw$"):
        registry.schemas.bound("Raw")
    registry.schemas.bind("Raw", other)
    assert registry.entry("one").input_.type_ is other
    assert registry.schemas.bound(f"{__name__}.Raw").type_ is Raw


def test_classes_that_a_function_made_are_told_apart() -> None:
    schemas = AgentRegistry().schemas
    names = [schemas.reference(_another_raw()) for _ in range(2)]
    assert names[1] == f"{names[0]}-2"
