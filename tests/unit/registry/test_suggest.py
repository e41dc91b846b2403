"""Suggestion: all shortest chains, then longer ones, ranked, against networkx and by trying all."""

from collections.abc import Sequence
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from streamapp.registry.suggest import Suggestion, suggest
from tests.hand_clock import HandClock
from tests.unit.registry.random_registries import (
    CAPABILITIES,
    DEFINITIONS,
    SCHEMAS,
    every_chain,
    ids_of,
    registry_of,
)


def chains(found: Suggestion) -> list[tuple[str, ...]]:
    return [one.agents for one in found.chains]


def graph_of(registry: AgentRegistry) -> Any:
    graph = nx.DiGraph()
    entries = [registry.entry(one.agent_id) for one in registry.list()]
    graph.add_nodes_from(one.agent_id for one in entries)
    graph.add_edges_from(
        (one.agent_id, other.agent_id)
        for one in entries
        for other in entries
        if one is not other and registry.check.fits(one.output, other.input_)
    )
    return graph


def shortest_by_networkx(
    graph: Any, starts: Sequence[str], ends: Sequence[str]
) -> set[tuple[str, ...]]:
    """Of all pairs of different agents, the shortest paths; of those, the shortest."""
    found: list[tuple[str, ...]] = []
    for start in starts:
        for end in ends:
            if start != end and nx.has_path(graph, start, end):
                found += map(tuple, nx.all_shortest_paths(graph, start, end))
    least = min(map(len, found), default=0)
    return {path for path in found if len(path) == least}


def offering(registry: AgentRegistry, wanted: Capability) -> list[str]:
    return [one.agent_id for one in registry.find_by_capability(wanted)]


@settings(max_examples=150)
@given(DEFINITIONS, st.sampled_from(CAPABILITIES), st.sampled_from(CAPABILITIES))
def test_the_shortest_chains_between_capabilities_are_those_of_networkx(
    definitions: list[AgentDefinition], start: Capability, end: Capability
) -> None:
    registry = registry_of(definitions)
    found = chains(suggest(registry, start, end, limit=None))
    expected = shortest_by_networkx(
        graph_of(registry), offering(registry, start), offering(registry, end)
    )
    assert len(found) == len(set(found))
    assert set(found) == expected


@settings(max_examples=150)
@given(DEFINITIONS, st.sampled_from(sorted(SCHEMAS)), st.sampled_from(sorted(SCHEMAS)))
def test_the_shortest_chains_between_schemas_are_those_of_networkx(
    definitions: list[AgentDefinition], start: str, end: str
) -> None:
    registry = registry_of(definitions)
    found = chains(suggest(registry, start, end, limit=None))
    graph = graph_of(registry)
    for entry in [registry.entry(one.agent_id) for one in registry.list()]:
        if registry.check.fits(registry.schemas.bound(start), entry.input_):
            graph.add_edge("START", entry.agent_id)
        if registry.check.fits(entry.output, registry.schemas.bound(end)):
            graph.add_edge(entry.agent_id, "END")
    graph.add_nodes_from(["START", "END"])
    paths = (
        nx.all_shortest_paths(graph, "START", "END") if nx.has_path(graph, "START", "END") else []
    )
    assert set(found) == {tuple(path[1:-1]) for path in paths}


@settings(max_examples=100)
@given(
    DEFINITIONS,
    st.sampled_from([*CAPABILITIES, *sorted(SCHEMAS)]),
    st.sampled_from([*CAPABILITIES, *sorted(SCHEMAS)]),
    st.integers(2, 5),
    st.data(),
)
def test_longer_chains_are_all_there_are_without_repeats(
    definitions: list[AgentDefinition], start: str, end: str, longest: int, data: st.DataObject
) -> None:
    registry = registry_of(definitions)
    ids = [one.agent_id for one in definitions]
    drawn = data.draw(st.lists(st.sampled_from(ids), max_size=2, unique=True)) if ids else []
    pin, exclude = drawn[:1], drawn[1:]
    found = chains(
        suggest(registry, start, end, limit=None, longest=longest, pin=pin, exclude=exclude)
    )
    least = 2 if start in CAPABILITIES and end in CAPABILITIES else 1
    expected = {
        ids_of(chain)
        for length in range(least, longest + 1)
        for chain in every_chain(registry, length)
        if _begins(registry, start, chain[0].agent_id)
        and _ends(registry, end, chain[-1].agent_id)
        and set(pin) <= set(ids_of(chain))
        and not set(exclude) & set(ids_of(chain))
    }
    assert len(found) == len(set(found))
    assert {chain for chain in found if len(chain) <= longest} == expected
    assert [len(chain) for chain in found] == sorted(map(len, found))


def _begins(registry: AgentRegistry, start: str, agent_id: str) -> bool:
    entry = registry.entry(agent_id)
    if start in CAPABILITIES:
        return start in entry.definition.capabilities
    return registry.check.fits(registry.schemas.bound(start), entry.input_)


def _ends(registry: AgentRegistry, end: str, agent_id: str) -> bool:
    entry = registry.entry(agent_id)
    if end in CAPABILITIES:
        return end in entry.definition.capabilities
    return registry.check.fits(entry.output, registry.schemas.bound(end))


@settings(max_examples=60)
@given(DEFINITIONS, st.data())
def test_chains_of_one_length_are_ranked_by_score_and_then_by_id(
    definitions: list[AgentDefinition], data: st.DataObject
) -> None:
    registry = registry_of(definitions)
    scores = Scores(clock=HandClock())
    for one in definitions:
        for _ in range(data.draw(st.integers(0, 2))):
            scores.failed(one.agent_id)
    given_end = CAPABILITIES[0], CAPABILITIES[1]
    found = suggest(registry, *given_end, scores=scores, limit=None, longest=4).chains
    assert list(found) == sorted(
        found, key=lambda one: (len(one.agents), -round(one.score, 9), one.agents)
    )
    some = suggest(registry, *given_end, scores=scores, limit=2, longest=4)
    assert some.chains == found[:2]
    assert some.has_more == (len(found) > 2)


def test_a_chain_is_explained_by_the_figures_of_its_agents() -> None:
    registry = _line(3)
    [chain] = suggest(registry, "A", "D", scores=Scores(clock=HandClock())).chains
    assert chain.agents == ("agent-0", "agent-1", "agent-2")
    assert [one.agent_id for one in chain.scores] == list(chain.agents)
    assert chain.score == pytest.approx(0.5**3)
    assert chain.scores[0].figures[1].told == "not measured"


def test_a_chain_may_be_as_long_as_it_takes() -> None:
    registry = AgentRegistry()
    for number in range(30):
        registry.schemas.bind(f"S{number}", {"const": number})
    registry.schemas.bind("S30", {"const": 30})
    for number in range(30):
        registry.register(_definition(f"agent-{number:02}", f"S{number}", f"S{number + 1}"))
    [chain] = suggest(registry, "S0", "S30").chains
    assert len(chain.agents) == 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"start": "data_validaton"}, "'data_validaton' is neither a capability nor a schema"),
        ({"limit": 0}, "limit and longest are at least 1"),
        ({"longest": 0}, "limit and longest are at least 1"),
        ({"exclude": ["agent-9"]}, "no agent 'agent-9'; did you mean 'agent-"),
        ({"pin": ["x"]}, "no agent 'x'"),
        ({"pin": ["agent-1"], "exclude": ["agent-1"]}, "'agent-1' is both pinned and excluded"),
    ],
)
def test_a_wrong_request_is_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        suggest(_line(2), **{"start": "A", "end": "D", **arguments})


def _line(length: int) -> AgentRegistry:
    """Agents from A to D by way of names that nothing else has."""
    registry = registry_of([])
    names = ["A", *(f"between-{number}" for number in range(1, length)), "D"]
    for number in range(1, length):
        registry.schemas.bind(f"between-{number}", {"const": number})
    for number in range(length):
        registry.register(_definition(f"agent-{number}", names[number], names[number + 1]))
    return registry


def _definition(agent_id: str, takes: str, gives: str) -> AgentDefinition:
    return AgentDefinition(
        agent_id=agent_id,
        agent_class="Agent",
        module_path="shop.agents",
        input_schema=takes,
        output_schema=gives,
    )
