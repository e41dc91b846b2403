"""The places of a chain: what stays the same at a step, whichever agent stands there.

Topics hold records of agents that have gone, and other workers may have other agents. So what an
agent of a place takes and gives is measured against the chain as it was assembled, not against the
neighbours of the moment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from streamapp.pipeline.capability import Capability
from streamapp.registry.entry import Entry
from streamapp.registry.request import Request
from streamapp.registry.schemas import Schema


@dataclass(frozen=True, slots=True)
class Place:
    """A step of an assembled pipeline.

    Attributes:
        capability: what it wants.
        taken: schemas of what its stage is given; an agent has to take them all.
        given: schema that what its agent gives has to fit.
        members: ids of its agents now; several where they share the work.
        fixed: why its agents are not replaced, as a clause; empty if they may be.
    """

    capability: Capability
    taken: tuple[Schema, ...]
    given: Schema
    members: tuple[str, ...]
    fixed: str = ""

    def with_members(self, members: Sequence[str]) -> "Place":
        """The place with these agents."""
        return replace(self, members=tuple(members))


def places_of(
    request: Request,
    entries: Sequence[Entry],
    members: Sequence[Sequence[str]],
    sources: Sequence[Schema],
) -> Iterator[Place]:
    """The places of a chain that was assembled.

    Args:
        request: what it was wanted for.
        entries: its agents.
        members: ids of all agents of each step.
        sources: schemas of what it reads; none if nobody has said them.
    """
    taken = tuple(sources) or (entries[0].input_,)
    for number, (entry, ids) in enumerate(zip(entries, members, strict=True), 1):
        fixed = ""
        if number in request.given:
            fixed = "the pipeline names it"
        elif number in request.pins:
            fixed = "the step is pinned to it"
        yield Place(request.capabilities[number - 1], taken, entry.output, tuple(ids), fixed)
        taken = (entry.output,)
