"""Decides who takes the place of an agent while its pipeline runs: the best that fits the place.

All other agents stay, since topics hold what they have written and what they will read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from streamapp.registry.entry import Entry
from streamapp.registry.explanation import Candidate, Outcome
from streamapp.registry.places import Place
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.schemas import Schema
from streamapp.registry.scores import Scores

MOST_TOLD = 20
"""Candidates that are told of: the best ones."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who takes the place of an agent.

    Attributes:
        by: id of the agent; `None` if there is none.
        candidates: those that offer what the step wants, the best first; of many, some.
    """

    by: str | None
    candidates: tuple[Candidate, ...]

    @property
    def why_none(self) -> str:
        """Why there is nobody, as a clause."""
        told = [f"{one.agent_id!r} {one.reason}" for one in self.candidates]
        return "; ".join(told) or "no other agent offers it"


def decide(
    registry: AgentRegistry,
    scores: Scores,
    places: Sequence[Place],
    number: int,
    agent_id: str,
    refused: Mapping[str, str],
) -> Decision:
    """Choose who takes the place of an agent.

    Args:
        registry: the agents.
        scores: by which they are ranked; of equal ones the first id comes first.
        places: the steps of the pipeline.
        number: number of the step, from 1.
        agent_id: who is to go.
        refused: agents that may not come, each with the reason as a clause.
    """
    place = places[number - 1]
    taken = {one: i for i, step in enumerate(places, 1) for one in step.members}
    ranked = sorted(
        (entry for one, entry in registry.offering(place.capability).items() if one != agent_id),
        key=lambda one: (scores.cost(one.definition, place.capability), one.agent_id),
    )
    fit = _Fit(registry, place)

    def reason(entry: Entry) -> str:
        """Why an agent may not come; empty if it may."""
        if entry.agent_id in taken:
            return f"stands at step {taken[entry.agent_id]} already"
        return refused.get(entry.agent_id) or fit.why_not(entry)

    best = next((one.agent_id for one in ranked if not reason(one)), None)
    candidates = []
    for entry in islice(ranked, MOST_TOLD):
        outcome, why = Outcome.REJECTED, reason(entry)
        if not why:
            is_best = entry.agent_id == best
            outcome = Outcome.CHOSEN if is_best else Outcome.POSSIBLE
            why = "is the best that fits the place" if is_best else "fits, and is not the best"
        score = scores.score(entry.definition, place.capability)
        candidates.append(Candidate(entry.agent_id, outcome, why, score))
    return Decision(best, tuple(candidates))


class _Fit:
    """Whether agents fit a place, by what names of schemas mean now."""

    def __init__(self, registry: AgentRegistry, place: Place) -> None:
        self._check = registry.check
        self._taken = [_meant(registry, schema) for schema in place.taken]
        self._given = _meant(registry, place.given)

    def why_not(self, entry: Entry) -> str:
        """Why an agent does not fit, as a clause; empty if it does."""
        for schema in self._taken:
            if not self._check.fits(schema, entry.input_):
                told = self._check.explain(schema, entry.input_)
                return f"does not take what the stage is given ({told})"
        if not self._check.fits(entry.output, self._given):
            told = self._check.explain(entry.output, self._given)
            return f"does not give what the stage gave ({told})"
        return ""


def _meant(registry: AgentRegistry, schema: Schema) -> Schema:
    return schema if schema.is_bound else registry.schemas.of(schema.name)
