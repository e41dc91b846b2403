"""An assembled pipeline while it runs: who has which place, who is to go, and who has come."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamapp.clock import Clock
from streamapp.observability.stage_metrics import MemberState, ReplacementCause, StageMetrics
from streamapp.pipeline.agent import Agent
from streamapp.pipeline.capability import Capability
from streamapp.reassembly.config import Reassembly
from streamapp.registry.assemble import Assembled
from streamapp.registry.current_chain import CurrentChain, CurrentStep, Replacement
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.figures import Score
from streamapp.registry.places import Place
from streamapp.registry.reassembly import Decision, decide
from streamapp.registry.scores import Scores

MOST_REPLACEMENTS = 100
"""The latest replacements that are shown."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """An agent that is to go.

    Attributes:
        number: number of its step, from 1.
        agent_id: the agent.
        cause: what is wrong with it.
        why: the same as a clause.
    """

    number: int
    agent_id: str
    cause: ReplacementCause
    why: str


class RunningChain:
    """The agents of one assembled pipeline.

    Args:
        assembled: the pipeline.
        scores: by which agents are ranked.
        config: when an agent is to go.
        clock: the time.

    Attributes:
        name: name of the pipeline.
    """

    def __init__(
        self, assembled: Assembled, scores: Scores, config: Reassembly, clock: Clock
    ) -> None:
        self.name = assembled.pipeline.name
        self._assembled = assembled
        self._scores = scores
        self._config = config
        self._clock = clock
        self._stages = [stage.stage_id for stage in assembled.pipeline.stages]
        self._places = list(assembled.places)
        self._definitions: dict[str, AgentDefinition] = {}
        for place in self._places:
            self._remember(*place.members)
        self._avoided: dict[str, tuple[float, str]] = {}
        self._told: set[tuple[str, ReplacementCause, str]] = set()
        self._replacements: deque[Replacement] = deque(maxlen=MOST_REPLACEMENTS)

    @property
    def places(self) -> Mapping[str, Place]:
        """The places by the names of their stages, in their order."""
        return dict(zip(self._stages, self._places, strict=True))

    def stage(self, number: int) -> str:
        """The name of the stage of a step."""
        return self._stages[number - 1]

    def current(self) -> CurrentChain:
        """Who has which place now, and who has replaced whom."""
        steps = (
            CurrentStep(
                stage,
                place.capability,
                tuple(self._score(place.capability, one) for one in place.members),
            )
            for stage, place in self.places.items()
        )
        return CurrentChain(self.name, tuple(steps), tuple(self._replacements))

    def leaving(self, metrics: Mapping[str, StageMetrics], now: float) -> Iterator[Leaving]:
        """The agents that are to go, at a time in monotonic seconds.

        Args:
            metrics: the counters of the stages that run here, by their names.
            now: the time.
        """
        for number, (stage, place) in enumerate(self.places.items(), 1):
            if stage not in metrics:
                continue  # another worker runs it
            opened = _opened_at(place, metrics[stage], now)
            for agent_id in place.members:
                if agent_id not in self._assembled.registry:
                    why = "it is not registered any more"
                    yield Leaving(number, agent_id, ReplacementCause.UNREGISTERED, why)
                elif not place.fixed and self._is_open_for_long(opened.get(agent_id), now):
                    why = f"its breaker was not closed for {now - opened[agent_id]:.0f} s"
                    yield Leaving(number, agent_id, ReplacementCause.BREAKER_OPEN, why)

    def decide(self, leaving: Leaving) -> Decision:
        """Who takes the place of an agent."""
        if self._place(leaving).fixed:
            return Decision(None, ())
        assembled, now = self._assembled, self._clock.monotonic()
        self._avoided = {one: held for one, held in self._avoided.items() if held[0] > now}
        decision = decide(
            assembled.registry,
            self._scores,
            self._places,
            leaving.number,
            leaving.agent_id,
            {
                **dict.fromkeys(assembled.choice.request.exclude, "is excluded"),
                **{one: why for one, (_, why) in self._avoided.items()},
            },
        )
        if decision.by is not None:
            # It may be unregistered before it has its place: the one before it ends first.
            self._remember(decision.by)
        return decision

    def can_do_without(self, leaving: Leaving) -> bool:
        """Whether the others of its place share the work of an agent that nobody replaces."""
        place = self._place(leaving)
        is_gone = leaving.cause is ReplacementCause.UNREGISTERED
        return is_gone and len(place.members) > 1 and not place.fixed

    def make(self, leaving: Leaving, by: str | None) -> Agent[Any, Any]:
        """The agent of a stage when another one takes the place, or the others do without.

        Raises:
            StreamappError: it cannot be made.
        """
        old, *following = self._assembled.pipeline.stages[leaving.number - 1 :]
        return self._assembled.agents.next(
            leaving.number,
            self._members_after(leaving, by),
            old.agent.input_type,
            following[0].agent.input_type if following else None,
        )

    def refuse(self, leaving: Leaving, by: str | None, error: Exception) -> None:
        """Note that an agent cannot take a place; it is not tried again for a while."""
        if by is not None:
            self._avoid(by, f"could not take the place of {leaving.agent_id!r}: {error}")
            self._assembled.agents.drop(by)

    def took_place(self, leaving: Leaving, decision: Decision) -> str:
        """Note that an agent has gone; returns what to tell."""
        by = decision.by
        self._places[leaving.number - 1] = self._place(leaving).with_members(
            self._members_after(leaving, by)
        )
        self._assembled.agents.drop(leaving.agent_id)
        if leaving.cause is ReplacementCause.BREAKER_OPEN:
            self._avoid(leaving.agent_id, "was replaced lately for its open breaker")
        self._told = {key for key in self._told if key[0] != leaving.agent_id}
        then = f"agent {by!r} takes its place" if by else "the others share its work"
        stage = self.stage(leaving.number)
        what = f"agent {leaving.agent_id!r} leaves stage {stage!r}, because {leaving.why}; {then}"
        return self._note(leaving, by, what, decision)

    def stays(self, leaving: Leaving, decision: Decision) -> str | None:
        """Note that an agent stays, since nobody takes its place; `None` if that was told."""
        place = self._place(leaving)
        why = f"{place.fixed}, so it is not replaced" if place.fixed else decision.why_none
        key = leaving.agent_id, leaving.cause, why
        if key in self._told:
            return None
        # Of one agent only the last reason is kept, so that the set is bounded.
        self._told = {known for known in self._told if known[0] != leaving.agent_id} | {key}
        stage = self.stage(leaving.number)
        what = (
            f"agent {leaving.agent_id!r} of stage {stage!r} should go, because {leaving.why}, and"
            f" stays: {why}"
        )
        return self._note(leaving, None, what, decision)

    def _note(self, leaving: Leaving, by: str | None, what: str, decision: Decision) -> str:
        self._replacements.append(
            Replacement(
                self.name,
                self.stage(leaving.number),
                leaving.agent_id,
                leaving.cause,
                by,
                self._clock.time(),
                what,
                decision.candidates,
            )
        )
        return what

    def _place(self, leaving: Leaving) -> Place:
        return self._places[leaving.number - 1]

    def _members_after(self, leaving: Leaving, by: str | None) -> tuple[str, ...]:
        """The members of a place when one has gone, and another one may have come."""
        new = () if by is None else (by,)
        old = self._place(leaving).members
        return tuple(one for own in old for one in (new if own == leaving.agent_id else (own,)))

    def _avoid(self, agent_id: str, why: str) -> None:
        """Let an agent take no place for a while."""
        self._avoided[agent_id] = self._clock.monotonic() + self._config.avoid_seconds, why

    def _remember(self, *ids: str) -> None:
        """Keep the definitions of agents at work, which may be unregistered."""
        for agent_id in ids:
            self._definitions[agent_id] = self._assembled.registry.get(agent_id)

    def _score(self, wanted: Capability, agent_id: str) -> Score:
        return self._scores.score(self._definitions[agent_id], wanted)

    def _is_open_for_long(self, since: float | None, now: float) -> bool:
        most = self._config.open_seconds
        return most is not None and since is not None and now - since >= most


def _opened_at(place: Place, metrics: StageMetrics, now: float) -> dict[str, float]:
    """Since when the breakers of the agents of a stage have not been closed."""
    states: list[MemberState] = [one for read in metrics.pools.values() for one in read(now)]
    found = {one.name: one.opened_at for one in states if one.opened_at is not None}
    if len(place.members) == 1 and metrics.breaker_opened_at is not None:
        found[place.members[0]] = metrics.breaker_opened_at
    return found
