"""What a chain of agents is wanted for, once it is checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.given import Given, Step
from streamapp.registry.registry import AgentRegistry, capability
from streamapp.registry.schemas import Schema
from streamapp.registry.search import AllBut, ChainStep, Only, OnlyGiven

LEAST_STEPS = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What a chain is wanted for.

    Attributes:
        capabilities: what each step offers.
        source: schema of what the first agent is given; `None` if it may take anything.
        sink: schema that the last agent's outputs have to fit; `None` if they may be anything.
        pins: ids of agents that have to be chosen, by the number of their step, from 1.
        exclude: ids of agents that may not be chosen.
        given: the steps whose agent is not searched for, by their number, from 1.
    """

    capabilities: tuple[Capability, ...]
    source: Schema | None
    sink: Schema | None
    pins: Mapping[int, str]
    exclude: frozenset[str]
    given: Mapping[int, Given]

    def step(self, registry: AgentRegistry, place: int) -> ChainStep:
        """The agents that may be chosen at a step, counted from 0."""
        given = self.given.get(place + 1)
        if given is not None:
            return OnlyGiven(given.entry)
        pinned = self.pins.get(place + 1)
        if pinned is not None:
            return Only(registry.entry(pinned))
        return AllBut(registry.indexes(), self.exclude, self.capabilities[place])


def read_request(
    registry: AgentRegistry,
    steps: Sequence[Step],
    source: Any,
    sink: Any,
    pins: Mapping[int, str],
    exclude: Iterable[str],
) -> Request:
    """Check what is wanted.

    Raises:
        RegistryError: a capability, a schema, an id or the number of a step is unknown, there are
            less than two steps of which one is searched for, or an agent is pinned to a step that
            it cannot take.
    """
    given = {number: one for number, one in enumerate(steps, 1) if isinstance(one, Given)}
    if isinstance(steps, str) or len(steps) < (LEAST_STEPS if len(given) < len(steps) else 1):
        raise RegistryError(f"assembly: give at least two capabilities, not {steps!r}")
    wanted = tuple(one.capability if isinstance(one, Given) else capability(one) for one in steps)
    excluded = frozenset(registry.entry(one).agent_id for one in exclude)
    for number, agent_id in sorted(pins.items()):
        _check_pin(registry, wanted, excluded, number, agent_id)
    return Request(
        wanted,
        None if source is None else registry.schemas.bound(source),
        None if sink is None else registry.schemas.bound(sink),
        dict(pins),
        excluded,
        given,
    )


def _check_pin(
    registry: AgentRegistry,
    wanted: Sequence[Capability],
    excluded: frozenset[str],
    number: int,
    agent_id: str,
) -> None:
    where = f"assembly: {agent_id!r} is pinned to step {number}"
    if number not in range(1, len(wanted) + 1):
        raise RegistryError(f"{where}; the steps are 1 to {len(wanted)}")
    offered = registry.get(agent_id).capabilities
    if wanted[number - 1] not in offered:
        raise RegistryError(
            f"{where}, and does not offer {wanted[number - 1]}; it offers"
            f" {', '.join(offered) or 'nothing'}"
        )
    if agent_id in excluded:
        raise RegistryError(f"{where} and excluded; drop one of the two")
