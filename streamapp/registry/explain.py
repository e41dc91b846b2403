"""Explains a search for a chain: every candidate of every step with the reason for or against it.

A look at all pairs of agents would take long in a large registry, so the field that does not fit is
told for a bounded number of schemas at each step (nearest_fit.py).
"""

from collections.abc import Iterable, Sequence

from streamapp.registry.containment import Fit
from streamapp.registry.entry import Entry
from streamapp.registry.explanation import Candidate, Explanation, Outcome, StepExplanation
from streamapp.registry.figures import Score, score_of
from streamapp.registry.nearest_fit import NearestFits
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.request import Request
from streamapp.registry.schemas import Schema
from streamapp.registry.scores import Scores
from streamapp.registry.search import ChainSearch, Found


class Explainer:
    """Explains one search.

    Args:
        registry: the agents.
        scores: their scores.
        request: what was wanted.
        search: the search.
        found: what it found first; `None` if there is no chain.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        scores: Scores,
        request: Request,
        search: ChainSearch,
        found: Found | None,
    ) -> None:
        self._check = registry.check
        self._request = request
        self._search = search
        self._found = found
        self._steps = [
            self._ranked(registry, scores, place) for place in range(len(request.capabilities))
        ]
        self._candidates = [
            [entry for entry, _ in step if self._may_stand(place, entry)]
            for place, step in enumerate(self._steps)
        ]
        self._nearest = NearestFits(registry.check)
        self._reached = [
            [entry for entry, _ in step if self._is_reached(place, entry)]
            for place, step in enumerate(self._steps)
        ]
        self._costs_to = self._costs()

    def explanation(self) -> Explanation:
        """Why the chain was chosen, or why there is none."""
        steps = tuple(self._step(place) for place in range(len(self._steps)))
        if self._found is not None:
            return Explanation(self._found.ids, steps)
        failed, reason = self._failure()
        told = f"assembly: step {failed + 1} ({self._request.capabilities[failed]}): {reason}"
        return Explanation((), steps, failed + 1, told)

    def _ranked(
        self, registry: AgentRegistry, scores: Scores, place: int
    ) -> list[tuple[Entry, Score]]:
        """All agents that offer what a step wants, the best first."""
        wanted = self._request.capabilities[place]
        given = self._request.given.get(place + 1)
        entries = registry.offering(wanted).values() if given is None else [given.entry]
        found = [(entry, scores.score(entry.definition, wanted)) for entry in entries]
        return sorted(found, key=lambda one: (-one[1].value, one[0].agent_id))

    def _may_stand(self, place: int, entry: Entry) -> bool:
        pinned = self._request.pins.get(place + 1)
        is_excluded = entry.agent_id in self._request.exclude
        return not is_excluded and pinned in (None, entry.agent_id)

    def _is_reached(self, place: int, entry: Entry) -> bool:
        return self._may_stand(place, entry) and entry.input_ in self._search.reached[place]

    def _costs(self) -> list[dict[Schema, int]]:
        """For each step, the least cost of reaching it with an input of a schema."""
        costs: list[dict[Schema, int]] = [dict.fromkeys(self._search.reached[0], 0)]
        for place, entries in enumerate(self._reached[:-1]):
            best: dict[Schema, int] = {}
            for entry in entries:
                spent = costs[place][entry.input_] + self._search.cost(place, entry)
                best[entry.output] = min(spent, best.get(entry.output, spent))
            following: dict[Schema, int] = {}
            for output, spent in best.items():
                for input_ in self._search.inputs_for(place + 1, output):
                    following[input_] = min(spent, following.get(input_, spent))
            costs.append(following)
        return costs

    def _step(self, place: int) -> StepExplanation:
        candidates = [self._candidate(place, *one) for one in self._steps[place]]
        candidates.sort(key=lambda one: one.outcome is not Outcome.CHOSEN)  # the others stay
        wanted = self._request.capabilities[place]
        return StepExplanation(place + 1, wanted, tuple(candidates))

    def _candidate(self, place: int, entry: Entry, score: Score) -> Candidate:
        if self._found is not None and self._found.entries[place] is entry:
            fit = self._fit_before(place, self._found.entries)
            notes = fit.notes if fit is not None else ()
            number = place + 1
            pinned = "pinned, and " if number in self._request.pins else ""
            pinned = "given, and " if number in self._request.given else pinned
            told = f"{pinned}part of the best chain, whose score is {self._score():.3f}"
            return Candidate(entry.agent_id, Outcome.CHOSEN, told, score, notes)
        if (reason := self._why_rejected(place, entry)) is not None:
            return Candidate(entry.agent_id, Outcome.REJECTED, reason, score)
        return Candidate(entry.agent_id, Outcome.POSSIBLE, self._why_not(place, entry), score)

    def _fit_before(self, place: int, entries: Sequence[Entry]) -> Fit | None:
        given = entries[place - 1].output if place else self._request.source
        return None if given is None else self._check.explain(given, entries[place].input_)

    def _score(self) -> float:
        return score_of(self._found.cost) if self._found is not None else 0.0

    def _why_not(self, place: int, entry: Entry) -> str:
        """Why an agent was not chosen although chains with it exist."""
        rest = self._search.best_from(place, entry)
        if self._found is None or rest is None:
            return "a chain with it would use an agent twice"
        cost = self._costs_to[place][entry.input_] + rest
        if cost > self._found.cost:
            return f"the best chain with it has a score of {score_of(cost):.3f} at most"
        return "a chain with it is as good, but its ids come later, or it uses an agent twice"

    def _why_rejected(self, place: int, entry: Entry) -> str | None:
        request = self._request
        if entry.agent_id in request.exclude:
            return "excluded"
        if not self._may_stand(place, entry):
            return f"the step is pinned to {request.pins[place + 1]!r}"
        if not self._is_reached(place, entry):
            return self._why_unreached(place, entry)
        if self._search.best_from(place, entry) is None:
            return self._why_dead_end(place, entry)
        return None

    def _why_unreached(self, place: int, entry: Entry) -> str:
        if not place:
            told = self._nearest.to_input(place, [], entry, self._request.source)
            return f"does not take what the pipeline is given{told}"
        if not self._reached[place - 1]:
            return f"no chain gets as far as step {place + 1}"
        told = self._nearest.to_input(place, self._reached[place - 1], entry)
        return f"does not take what step {place} gives{told}"

    def _why_dead_end(self, place: int, entry: Entry) -> str:
        if place == len(self._steps) - 1:
            told = self._nearest.to_output(place, entry, [], self._request.sink)
            return f"does not give what the pipeline has to give{told}"
        step = self._search.steps[place + 1]
        inputs = self._search.inputs_for(place + 1, entry.output)
        if taking := [one.agent_id for input_ in inputs for one in step.taking(input_)]:
            return f"leads only to {_some(taking)}, after which no chain goes on"
        told = self._nearest.to_output(place, entry, self._candidates[place + 1])
        return f"no agent of step {place + 2} takes what it gives{told}"

    def _failure(self) -> tuple[int, str]:
        """The first step at which no chain goes on, and why."""
        for place, reached in enumerate(self._reached):
            if not reached:
                return place, self._why_none(place)
        last = len(self._steps) - 1
        if all(self._search.best_from(last, entry) is None for entry in self._reached[last]):
            told = self._nearest.of_all(self._reached[last], [], sink=self._request.sink)
            return last, f"none of its agents gives what the pipeline has to give{told}"
        return last, "every chain would use an agent twice; register another one"

    def _why_none(self, place: int) -> str:
        offering = [entry for entry, _ in self._steps[place]]
        candidates = self._candidates[place]
        if not offering:
            return "no agent offers it"
        if not candidates:
            return f"all that offer it are excluded: {_some([one.agent_id for one in offering])}"
        before = self._reached[place - 1] if place else []
        told = self._nearest.of_all(before, candidates, source=self._request.source)
        giver = f"step {place} gives" if place else "the pipeline is given"
        return f"none of {len(candidates)} agents takes what {giver}{told}"


def _some(ids: Iterable[str]) -> str:
    names = sorted(ids)
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN} others" if len(names) > _SHOWN else "")


_SHOWN = 4
