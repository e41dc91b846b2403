"""Suggests chains of agents from one capability or schema to another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice, permutations
from typing import Any

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.entry import Entry
from streamapp.registry.figures import Score
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema
from streamapp.registry.scores import Scores
from streamapp.registry.search import AllBut, ChainSearch, ChainStep, Found, Only

MAX_LENGTH = 8
"""By default, no chain is longer."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of agents, each of which takes what the one before it gives.

    Attributes:
        agents: their ids.
        score: the product of their scores, from 0 to 1.
        scores: their scores, with the figures.
    """

    agents: tuple[str, ...]
    score: float
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What was found.

    Attributes:
        chains: the shortest first; of one length, the best first.
        has_more: whether there are others, which were not asked for.
    """

    chains: tuple[Chain, ...]
    has_more: bool


def suggest(
    registry: AgentRegistry,
    start: Any,
    end: Any,
    *,
    scores: Scores | None = None,
    limit: int | None = 100,
    longest: int | None = None,
    exclude: Iterable[str] = (),
    pin: Iterable[str] = (),
) -> Suggestion:
    """All shortest chains of agents from one capability or schema to another, then longer ones.

    Between capabilities there are at least two agents; where a schema is given there may be one. No
    agent is twice in a chain.

    Args:
        registry: the agents.
        start: a capability that the first agent offers; or a schema that it is given: a name that
            is bound, a type, or a JSON schema.
        end: a capability that the last agent offers; or a schema that its outputs fit.
        scores: by which chains of one length are ranked.
        limit: give no more chains than this; `None`: all, which may be very many.
        longest: give longer chains as well, up to this number of agents; `None`: the shortest only.
        exclude: ids of agents that are in no chain.
        pin: ids of agents that are in every chain.

    Raises:
        RegistryError: a name is neither a capability nor a schema, an id is unknown, or a number is
            below 1.
    """
    if any(number is not None and number < 1 for number in (limit, longest)):
        raise RegistryError("suggest: limit and longest are at least 1")
    request = _Request(registry, start, end, scores or Scores(), exclude, pin)
    found = request.chains(longest)
    chains = tuple(islice(found, limit))
    has_more = limit is not None and next(found, None) is not None
    return Suggestion(tuple(map(request.described, chains)), has_more)


class _Request:
    """One request for suggestions."""

    def __init__(
        self,
        registry: AgentRegistry,
        start: Any,
        end: Any,
        scores: Scores,
        exclude: Iterable[str],
        pin: Iterable[str],
    ) -> None:
        self._scores = scores
        self._indexes = registry.indexes()
        self._from = _capability_or_schema(registry, start)
        self._to = _capability_or_schema(registry, end)
        excluded = [registry.entry(agent_id).agent_id for agent_id in exclude]
        self._pinned = [registry.entry(agent_id) for agent_id in dict.fromkeys(pin)]
        self._excluded = frozenset(excluded)
        if both := sorted({one.agent_id for one in self._pinned} & self._excluded):
            raise RegistryError(f"{both[0]!r} is both pinned and excluded; drop one of the two")
        self._anyone = AllBut(self._indexes, self._excluded)
        self._first = self._step(self._from)
        self._last = self._step(self._to)
        of_capabilities = not isinstance(self._from, Schema) and not isinstance(self._to, Schema)
        self._least = 2 if of_capabilities else 1

    def chains(self, longest: int | None) -> Iterator[Found]:
        """Chains in the order in which they are suggested."""
        shortest = self._shortest_walk()
        if shortest is None:
            return
        found_any = False
        for length in range(shortest, max(longest or 0, MAX_LENGTH, shortest) + 1):
            if found_any and (longest is None or length > longest):
                return
            for found in self._of_length(length):
                found_any = True
                yield found

    def described(self, found: Found) -> Chain:
        """A chain with its scores."""
        last = len(found.entries) - 1
        scores = tuple(
            self._scores.score(one.definition, self._wanted(place, last))
            for place, one in enumerate(found.entries)
        )
        product = 1.0
        for score in scores:
            product *= score.value
        return Chain(found.ids, product, scores)

    def _shortest_walk(self) -> int | None:
        """A length below which there is no chain; `None` if there is none of any length."""
        if isinstance(self._from, Schema):
            level: Sequence[Schema] = self._indexes.inputs_for(self._from)
        else:
            level = self._first.inputs()
        # After the first step anyone may stand, also on what only some may begin with.
        seen = set(level) if self._first is self._anyone else set()
        step, length = self._first, 1
        while level:
            outputs = dict.fromkeys(one.output for schema in level for one in step.taking(schema))
            if length >= self._least and self._ends(level, outputs):
                return length
            following = dict.fromkeys(
                one for output in outputs for one in self._indexes.inputs_for(output)
            )
            level = [one for one in following if one not in seen]
            seen.update(level)
            step, length = self._anyone, length + 1
        return None

    def _ends(self, level: Iterable[Schema], outputs: Mapping[Schema, None]) -> bool:
        """Whether a chain may end with what takes or gives these."""
        if isinstance(self._to, Schema):
            return any(self._indexes.fits(output, self._to) for output in outputs)
        return any(self._last.taking(schema) for schema in level)

    def _of_length(self, length: int) -> Iterator[Found]:
        if len(self._pinned) > length:
            return iter(())
        places = permutations(range(length), len(self._pinned))
        pinned = [dict(zip(one, self._pinned, strict=True)) for one in places]
        searches = [self._search(length, one) for one in pinned]
        return merge(*searches, key=lambda found: (found.cost, found.ids))

    def _search(self, length: int, pinned: Mapping[int, Entry]) -> Iterator[Found]:
        steps: list[ChainStep] = [self._anyone] * length
        steps[0] = self._first
        if length > 1 or steps[0] is self._anyone:
            steps[-1] = self._last
        for place, entry in pinned.items():
            may_stand = any(one is entry for one in steps[place].taking(entry.input_))
            steps[place] = Only(entry if may_stand else None)
        wanted = [self._wanted(place, length - 1) for place in range(length)]
        cost = self._scores.cost
        search = ChainSearch(
            steps,
            self._indexes,
            lambda place, entry: cost(entry.definition, wanted[place]),
            source=self._from if isinstance(self._from, Schema) else None,
            sink=self._to if isinstance(self._to, Schema) else None,
        )
        return search.chains()

    def _step(self, place: Capability | Schema) -> ChainStep:
        if isinstance(place, Schema):
            return self._anyone
        return AllBut(self._indexes, self._excluded, place)

    def _wanted(self, place: int, last: int) -> Capability | None:
        if place == 0 and not isinstance(self._from, Schema):
            return self._from
        return self._to if place == last and not isinstance(self._to, Schema) else None


def _capability_or_schema(registry: AgentRegistry, given: Any) -> Capability | Schema:
    if isinstance(given, str):
        try:
            return Capability(given)
        except ValueError:
            pass
    try:
        return registry.schemas.bound(given)
    except RegistryError as error:
        if isinstance(given, str):
            told = f"{given!r} is neither a capability nor a schema: {error}"
            raise RegistryError(told) from error
        raise
