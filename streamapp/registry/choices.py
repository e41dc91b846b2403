"""Choices among the agents of a registry: a question that many pipelines ask is answered once."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from streamapp.registry.choose_chain import Choice, choose_chain
from streamapp.registry.given import Given, Step
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores


class Choices:
    """Chooses chains, and knows its answers; for a caller that makes many pipelines at once.

    An answer holds as long as the registry is as it was; scores that have changed since do not
    count. Where agents are given nothing is kept: they are of one pipeline, and the search is
    short.

    Args:
        registry: the agents.
        scores: by which chains are ranked.

    Attributes:
        registry: the agents.
        scores: by which chains are ranked.
    """

    def __init__(self, registry: AgentRegistry, scores: Scores | None = None) -> None:
        self.registry = registry
        self.scores = Scores() if scores is None else scores
        self._known: dict[Hashable, Choice] = {}

    def choose(
        self,
        steps: Sequence[Step],
        *,
        source: Any = None,
        sink: Any = None,
        pins: Mapping[int, str] | None = None,
        exclude: Iterable[str] = (),
    ) -> Choice:
        """The best chain; arguments and errors as of `choose_chain`."""
        schemas = self.registry.schemas
        source, sink = (None if one is None else schemas.bound(one) for one in (source, sink))
        pins, exclude = dict(pins or {}), frozenset(exclude)
        asked = tuple(steps), source, sink, frozenset(pins.items()), exclude
        key = self.registry.version, asked
        choice = self._known.get(key)
        if choice is None:
            choice = choose_chain(
                self.registry,
                steps,
                scores=self.scores,
                source=source,
                sink=sink,
                pins=pins,
                exclude=exclude,
            )
            if not any(isinstance(one, Given) for one in steps):
                self._known[key] = choice
        return choice
