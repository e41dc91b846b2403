"""A step of a chain whose agent is given, and not searched for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.capability import Capability
from streamapp.registry.entry import Entry
from streamapp.registry.instantiate import Meanings


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A step whose agent is given: one that was named, or one that is made of several.

    Attributes:
        entry: what it is called, takes and gives; of one step only, since a chain may have the same
            agent at several given steps.
        capability: what it is wanted for.
        members: ids of the registered agents that it is made of.
        make: makes the agent, once the chain is chosen, given what names of schemas mean.
    """

    entry: Entry
    capability: Capability
    members: tuple[str, ...]
    make: Callable[[Meanings], Agent[Any, Any]]


Step = Capability | str | Given
"""What one step of a chain wants."""
