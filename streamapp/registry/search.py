"""All chains of agents over a number of steps, the best first, none left out.

At each step some agents may stand; one may follow another if its input takes what the other gives.
First it is seen from both ends which agents are part of a chain, and what the best rest of a chain
costs from each schema on. With that the chains are given in the order of their cost, and of their
ids where costs are equal, each when it is asked for. An agent stands once in a chain.

Costs are whole numbers: sums of them are equal or not, whatever the order of adding.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from operator import itemgetter
from typing import Protocol

from streamapp.pipeline.capability import Capability
from streamapp.registry.entry import Entry
from streamapp.registry.indexes import Indexes
from streamapp.registry.schemas import Schema


class ChainStep(Protocol):
    """Who may stand at a step."""

    def taking(self, schema: Schema) -> Collection[Entry]:
        """Those whose inputs have this schema."""

    def inputs(self) -> Sequence[Schema]:
        """The schemas of all their inputs."""


class Only:
    """A step with one agent, or with none."""

    def __init__(self, entry: Entry | None) -> None:
        self._entry = entry

    def taking(self, schema: Schema) -> Collection[Entry]:
        """It, if its inputs have this schema."""
        entry = self._entry
        return () if entry is None or entry.input_ is not schema else (entry,)

    def inputs(self) -> Sequence[Schema]:
        """The schema of its inputs."""
        return () if self._entry is None else (self._entry.input_,)


class OnlyGiven(Only):
    """A step with one agent that may be in no index.

    Attributes:
        entry: the agent.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry)
        self.entry = entry


class AllBut:
    """A step with all agents, or all of a capability, but some.

    Args:
        indexes: of the agents; only those are looked at that are asked for.
        excluded: ids of those that may not stand here.
        capability: what they offer; `None` if anyone may stand here.
    """

    def __init__(
        self, indexes: Indexes, excluded: frozenset[str], capability: Capability | None = None
    ) -> None:
        self._indexes = indexes
        self._excluded = excluded
        self._capability = capability

    def taking(self, schema: Schema) -> Collection[Entry]:
        """Those whose inputs have this schema."""
        found = self._indexes.taking(schema, self._capability)
        if not self._excluded:
            return found.values()
        return [one for agent_id, one in found.items() if agent_id not in self._excluded]

    def inputs(self) -> Sequence[Schema]:
        """The schemas of all their inputs, and of those that are excluded."""
        return self._indexes.inputs(self._capability)


@dataclass(frozen=True, slots=True)
class Found:
    """A chain.

    Attributes:
        cost: the sum of the costs of its agents.
        entries: its agents in their order.
    """

    cost: int
    entries: tuple[Entry, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its agents."""
        return tuple(one.agent_id for one in self.entries)


Cost = Callable[[int, Entry], int]
"""What an agent costs at a step."""

_Choice = tuple[int, str, Entry]
"""An agent at a step: the cost of the best chain from it on, its id, and its entry."""


class ChainSearch:
    """Searches for chains.

    Args:
        steps: who may stand at each step, at least one.
        indexes: what fits what.
        cost: what an agent costs at a step.
        source: the schema of what the first agent is given; `None` if it may take anything.
        sink: the schema that the last agent's outputs have to fit; `None` if they may be anything.

    Attributes:
        cost: what an agent costs at a step.
        reached: for each step, the schemas of inputs that some chain from the beginning reaches.
    """

    def __init__(
        self,
        steps: Sequence[ChainStep],
        indexes: Indexes,
        cost: Cost,
        source: Schema | None = None,
        sink: Schema | None = None,
    ) -> None:
        self.steps = steps
        self._indexes = indexes
        self.cost = cost
        self._source = source
        self._sink = sink
        self.reached = self._reach()
        self._at: list[dict[Schema, list[_Choice]]] = [{} for _ in steps]
        self._rest: list[dict[Schema, int]] = self._rests()
        self._given = {id(one.entry) for one in steps if isinstance(one, OnlyGiven)}
        self._following: list[dict[Schema, Sequence[_Choice]]] = [{} for _ in steps]

    def chains(self) -> Iterator[Found]:
        """The chains, the best first; of equal ones that whose ids come first."""
        first = self._first_choices()
        waiting: list[tuple[int, tuple[str, ...], int, int, Sequence[_Choice], tuple[Entry, ...]]]
        waiting = []
        _push(waiting, (), 0, first, 0)
        while waiting:
            total, ids, spent, place, choices, entries = heappop(waiting)
            _push(waiting, entries[:-1], spent, choices, place + 1)
            entry = entries[-1]
            if any(self._is_repeated(entry, one) for one in entries[:-1]):
                continue
            if len(entries) == len(self.steps):
                yield Found(total, entries)
                continue
            now_spent = spent + self.cost(len(ids) - 1, entry)
            _push(waiting, entries, now_spent, self._choices(len(ids), entry.output), 0)

    def inputs_for(self, step: int, output: Schema) -> Sequence[Schema]:
        """The schemas of inputs, among them those of a step, that an output fits."""
        one = self.steps[step]
        if isinstance(one, OnlyGiven):
            return [input_ for input_ in one.inputs() if self._indexes.fits(output, input_)]
        return self._indexes.inputs_for(output)

    def _is_repeated(self, entry: Entry, before: Entry) -> bool:
        """Whether an agent stands in a chain already; at given steps it may."""
        both_given = self._given.issuperset((id(entry), id(before)))
        return entry.agent_id == before.agent_id and not both_given

    def best_from(self, step: int, entry: Entry) -> int | None:
        """The cost of the best chain from an agent at a step on; `None` if there is none."""
        rest = self._rest_after(step, entry)
        return None if rest is None else self.cost(step, entry) + rest

    def _reach(self) -> list[dict[Schema, None]]:
        first = self.steps[0]
        if self._source is None:
            inputs: dict[Schema, None] = dict.fromkeys(first.inputs())
        else:
            inputs = dict.fromkeys(
                one for one in self.inputs_for(0, self._source) if first.taking(one)
            )
        reached = [inputs]
        for place, (before, step) in enumerate(pairwise(self.steps), 1):
            outputs = dict.fromkeys(
                entry.output for schema in reached[-1] for entry in before.taking(schema)
            )
            inputs = dict.fromkeys(
                one
                for output in outputs
                for one in self.inputs_for(place, output)
                if step.taking(one)
            )
            reached.append(inputs)
        return reached

    def _rests(self) -> list[dict[Schema, int]]:
        """For each step, the cost of the best chain from it on, by the schema of its input."""
        self._rest = [{} for _ in self.steps]
        self._after: list[dict[Schema, int | None]] = [{} for _ in self.steps]
        for step in reversed(range(len(self.steps))):
            rests = self._rest[step]
            for schema in self.reached[step]:
                found = [
                    (self.cost(step, one) + rest, one.agent_id, one)
                    for one in self.steps[step].taking(schema)
                    if (rest := self._rest_after(step, one)) is not None
                ]
                if found:
                    self._at[step][schema] = found
                    rests[schema] = min(best for best, _, _ in found)
        return self._rest

    def _rest_after(self, step: int, entry: Entry) -> int | None:
        """What the best rest of a chain costs after an agent."""
        known = self._after[step]
        if entry.output not in known:
            known[entry.output] = self._best_rest(step, entry.output)
        return known[entry.output]

    def _best_rest(self, step: int, output: Schema) -> int | None:
        if step == len(self.steps) - 1:
            fits = self._sink is None or self._indexes.fits(output, self._sink)
            return 0 if fits else None
        rests = self._rest[step + 1]
        costs = [rests[one] for one in self.inputs_for(step + 1, output) if one in rests]
        return min(costs, default=None)

    def _first_choices(self) -> Sequence[_Choice]:
        return self._sorted(0, self.reached[0])

    def _choices(self, step: int, output: Schema) -> Sequence[_Choice]:
        known = self._following[step]
        if output not in known:
            known[output] = self._sorted(step, self.inputs_for(step, output))
        return known[output]

    def _sorted(self, step: int, inputs: Iterable[Schema]) -> list[_Choice]:
        at = self._at[step]
        found = [one for schema in inputs for one in at.get(schema, ())]
        found.sort(key=itemgetter(0, 1))
        return found


def _push(
    waiting: list[tuple[int, tuple[str, ...], int, int, Sequence[_Choice], tuple[Entry, ...]]],
    before: tuple[Entry, ...],
    spent: int,
    choices: Sequence[_Choice],
    place: int,
) -> None:
    """Let the chain with the next of several choices wait for its turn."""
    if place < len(choices):
        best, agent_id, entry = choices[place]
        ids = (*(one.agent_id for one in before), agent_id)
        heappush(waiting, (spent + best, ids, spent, place, choices, (*before, entry)))
