"""Registries drawn at random, small enough to look at every chain."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from streamapp.pipeline.capability import Capability
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.entry import Entry
from streamapp.registry.registry import AgentRegistry


class A(BaseModel):
    a: int


class B(A):
    b: int


class C(B):
    c: str


class D(BaseModel):
    a: str


SCHEMAS: dict[str, Any] = {
    "A": A,
    "B": B,
    "C": C,
    "D": D,
    "int": {"type": "integer"},
    "some": {"type": "object", "properties": {"a": {"type": "integer"}}},
}

CAPABILITIES = [
    Capability.DATA_VALIDATION,
    Capability.DATA_ENRICHMENT,
    Capability.DATA_AGGREGATION,
]


def _definition(number: int, takes: str, gives: str, offers: list[Capability]) -> AgentDefinition:
    return AgentDefinition(
        agent_id=f"agent-{number}",
        agent_class="Agent",
        module_path="shop.agents",
        capabilities=tuple(offers),
        input_schema=takes,
        output_schema=gives,
    )


DEFINITIONS: st.SearchStrategy[list[AgentDefinition]] = st.lists(
    st.tuples(
        st.sampled_from(sorted(SCHEMAS)),
        st.sampled_from(sorted(SCHEMAS)),
        st.lists(st.sampled_from(CAPABILITIES), max_size=2, unique=True),
    ),
    max_size=9,
).map(lambda drawn: [_definition(number, *one) for number, one in enumerate(drawn)])


def registry_of(definitions: Sequence[AgentDefinition]) -> AgentRegistry:
    registry = AgentRegistry()
    for name, content in SCHEMAS.items():
        registry.schemas.bind(name, content)
    for one in definitions:
        registry.register(one)
    return registry


def every_chain(registry: AgentRegistry, length: int) -> Iterator[tuple[Entry, ...]]:
    """All chains of different agents of a length, by trying all."""
    entries = [registry.entry(one.agent_id) for one in registry.list()]

    def grown(chain: tuple[Entry, ...]) -> Iterator[tuple[Entry, ...]]:
        if len(chain) == length:
            yield chain
            return
        for entry in entries:
            follows = not chain or registry.check.fits(chain[-1].output, entry.input_)
            if follows and entry not in chain:
                yield from grown((*chain, entry))

    yield from grown(())


def ids_of(chain: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(one.agent_id for one in chain)


def all_fit(registry: AgentRegistry, ids: Sequence[str]) -> bool:
    entries = [registry.entry(one) for one in ids]
    return all(registry.check.fits(one.output, other.input_) for one, other in pairwise(entries))
