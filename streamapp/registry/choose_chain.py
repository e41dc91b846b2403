"""Chooses a chain of agents for a sequence of capabilities: the best of all, never greedily."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from streamapp.errors import RegistryError
from streamapp.registry.entry import Entry
from streamapp.registry.explain import Explainer
from streamapp.registry.explanation import AssemblyError, Explanation
from streamapp.registry.given import Step
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.request import Request, read_request
from streamapp.registry.scores import Scores
from streamapp.registry.search import ChainSearch


@dataclass(frozen=True)
class Choice:
    """A chain that was chosen.

    Attributes:
        request: what it was wanted for.
        entries: its agents in their order.
    """

    request: Request
    entries: tuple[Entry, ...]
    _explain: Callable[[], Explanation] = field(repr=False, compare=False)

    @cached_property
    def explanation(self) -> Explanation:
        """Why these; made when it is first asked for, since it looks at all candidates.

        Raises:
            RegistryError: agents or schemas have changed since the choice.
        """
        return self._explain()


def choose_chain(
    registry: AgentRegistry,
    steps: Sequence[Step],
    *,
    scores: Scores | None = None,
    source: Any = None,
    sink: Any = None,
    pins: Mapping[int, str] | None = None,
    exclude: Iterable[str] = (),
) -> Choice:
    """Choose the best chain of agents for a sequence of capabilities.

    Each agent takes what the one before it gives, and stands once in the chain. The best chain has
    the highest product of scores; of equal ones it is that whose ids come first.

    Args:
        registry: the agents.
        steps: capabilities, at least two; some of the agents may be given instead.
        scores: by which chains are ranked.
        source: schema of what the first agent is given: a name that is bound, a type or a JSON
            schema.
        sink: schema that the outputs of the last agent have to fit.
        pins: ids of agents that have to be chosen, by the number of their step, from 1.
        exclude: ids of agents that may not be chosen.

    Raises:
        AssemblyError: there is no such chain; which step failed, and what was nearest.
        RegistryError: a capability, a schema, an id or the number of a step is unknown.
    """
    request = read_request(registry, steps, source, sink, pins or {}, exclude)
    scores = scores or Scores()
    places = range(len(request.capabilities))
    search = ChainSearch(
        [request.step(registry, place) for place in places],
        registry.indexes(),
        lambda place, entry: scores.cost(entry.definition, request.capabilities[place]),
        request.source,
        request.sink,
    )
    found = next(search.chains(), None)
    version = registry.version

    def explain() -> Explanation:
        if registry.version != version:
            raise RegistryError(
                "the agents have changed since this choice; choose again to have it explained"
            )
        return Explainer(registry, scores, request, search, found).explanation()

    if found is None:
        explanation = explain()
        raise AssemblyError(explanation.reason, explanation=explanation)
    return Choice(request, found.entries, explain)
