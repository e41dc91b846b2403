"""Scores of agents: what is known of their work lately, by which a choice among them is made.

What was measured fades, so that an agent that failed once is tried again, and it is bounded: more
calls than a window holds do not make it slower to see a change. Of what is not known, nothing is
assumed: it counts as neither good nor bad.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamapp.clock import Clock, current_clock
from streamapp.errors import RegistryError
from streamapp.observability.stage_metrics import BreakerState, MemberState
from streamapp.pipeline.capability import Capability
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.faults import sentences
from streamapp.registry.figures import UNKNOWN, Figure, Score, Weights, cost_of

FADING_SECONDS = 600.0
"""Time constant with which measured calls fade."""

MOST_CALLS = 500.0
"""The latest calls that count, about."""

STATE_SECONDS = 60.0
"""How long load and breaker are taken as they were last told."""

MOST_AGENTS = 100_000
"""Of more agents, those that were told of longest ago are forgotten."""

_AVAILABLE = {BreakerState.CLOSED: 1.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 0.0}


class _Measured:
    """The latest calls of an agent, faded, and its state as it was last told."""

    __slots__ = ("at", "failures", "seconds", "state", "state_at", "successes")

    def __init__(self, at: float) -> None:
        self.at = at
        self.successes = self.failures = self.seconds = 0.0
        self.state: MemberState | None = None
        self.state_at = at

    def fade(self, now: float) -> None:
        """Let what was measured count less."""
        left = math.exp(-max(0.0, now - self.at) / FADING_SECONDS)
        left *= min(1.0, MOST_CALLS / max(1.0, self.successes + self.failures))
        self.successes *= left
        self.failures *= left
        self.seconds *= left
        self.at = now


class SavedAgent(BaseModel):
    """What a snapshot has of an agent: counts of calls, and seconds of those that succeeded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    successes: float = Field(ge=0, allow_inf_nan=False)
    failures: float = Field(ge=0, allow_inf_nan=False)
    seconds: float = Field(ge=0, allow_inf_nan=False)


class SavedScores(BaseModel):
    """A snapshot of all that was measured; load and breakers are not in it, since they change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    taken_at: float = Field(allow_inf_nan=False)
    agents: dict[str, SavedAgent]


class Scores:
    """What is known of agents, and their scores.

    Args:
        weights: how much each figure counts.
        clock: the time; by default that of the run.
        target_seconds: a call that takes so long is worth half as much as one without delay.
    """

    def __init__(
        self,
        weights: Weights | None = None,
        clock: Clock | None = None,
        target_seconds: float = 1.0,
    ) -> None:
        self.weights = Weights() if weights is None else weights
        self._clock = current_clock() if clock is None else clock
        self._target = target_seconds
        self._measured: dict[str, _Measured] = {}
        self._unmeasured: dict[tuple[int, bool], int] = {}

    def succeeded(self, agent_id: str, seconds: float) -> None:
        """A call of an agent succeeded, after so long."""
        self.add(agent_id, SavedAgent(successes=1, failures=0, seconds=seconds))

    def failed(self, agent_id: str) -> None:
        """A call of an agent failed, and not through the record's fault."""
        self.add(agent_id, SavedAgent(successes=0, failures=1, seconds=0))

    def add(self, agent_id: str, calls: SavedAgent) -> None:
        """Take over many calls of an agent at once, as if they had ended now."""
        measured = self._touched(agent_id)
        measured.successes += calls.successes
        measured.failures += calls.failures
        measured.seconds += calls.seconds

    def observe(self, agent_id: str, state: MemberState) -> None:
        """Take the load and the breaker of an agent from its state in a pool."""
        measured = self._touched(agent_id)
        measured.state, measured.state_at = state, measured.at

    def forget(self, agent_id: str) -> None:
        """Forget an agent, as when it was unregistered."""
        self._measured.pop(agent_id, None)

    def score(self, definition: AgentDefinition, wanted: Capability | None = None) -> Score:
        """The score of an agent, with its figures.

        Args:
            definition: the agent.
            wanted: the capability that it is wanted for; `None` if any will do.
        """
        figures = self._figures(definition, wanted)
        total = self.weights.total
        value = sum(one.value * one.weight for one in figures) / total if total else UNKNOWN
        return Score(definition.agent_id, value, figures)

    def cost(self, definition: AgentDefinition, wanted: Capability | None = None) -> int:
        """The score as a cost: of chains with the least sum, the product of scores is highest."""
        if definition.agent_id in self._measured:
            return cost_of(self.score(definition, wanted).value)
        key = len(definition.capabilities), wanted is None
        known = self._unmeasured.get(key)
        if known is None:
            known = self._unmeasured[key] = cost_of(self.score(definition, wanted).value)
        return known

    def snapshot(self) -> dict[str, Any]:
        """What was measured, as JSON can hold it; `restore` takes it back."""
        now = self._clock.monotonic()
        agents = {}
        for agent_id, measured in sorted(self._measured.items()):
            measured.fade(now)
            agents[agent_id] = SavedAgent(
                successes=measured.successes, failures=measured.failures, seconds=measured.seconds
            )
        return SavedScores(taken_at=self._clock.time(), agents=agents).model_dump(mode="json")

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take back what `snapshot` gave, faded by the time since; it replaces what is known.

        Load and breakers, which are in no snapshot, stay as they were told.

        Raises:
            RegistryError: it is no snapshot; what is known stays.
        """
        try:
            saved = SavedScores.model_validate(dict(snapshot))
        except ValidationError as error:
            faults = "\n".join(sentences(error, SavedScores, "scores"))
            raise RegistryError(faults) from error
        now = self._clock.monotonic()
        age = max(0.0, self._clock.time() - saved.taken_at)
        known, self._measured = self._measured, {}
        for agent_id, one in saved.agents.items():
            measured = _Measured(now - age)
            if (before := known.get(agent_id)) is not None:
                measured.state, measured.state_at = before.state, before.state_at
            measured.successes, measured.failures = one.successes, one.failures
            measured.seconds = one.seconds
            measured.fade(now)
            self._measured[agent_id] = measured

    def _touched(self, agent_id: str) -> _Measured:
        now = self._clock.monotonic()
        measured = self._measured.pop(agent_id, None) or _Measured(now)
        self._measured[agent_id] = measured  # the last one: told of most lately
        if len(self._measured) > MOST_AGENTS:
            del self._measured[next(iter(self._measured))]
        measured.fade(now)
        return measured

    def _figures(
        self, definition: AgentDefinition, wanted: Capability | None
    ) -> tuple[Figure, ...]:
        measured = self._measured.get(definition.agent_id)
        now = self._clock.monotonic()
        if measured is not None:
            measured.fade(now)
        state = measured.state if measured and now - measured.state_at <= STATE_SECONDS else None
        weights = self.weights
        fit, fit_told = _fit(definition, wanted)
        success, success_told = _success(measured)
        latency, latency_told = self._latency(measured)
        load, load_told = _load(state)
        available = UNKNOWN if state is None else _AVAILABLE[state.breaker]
        breaker = "not told lately" if state is None else f"breaker {state.breaker}"
        return (
            Figure("capability_fit", fit, weights.capability_fit, fit_told),
            Figure("success_rate", success, weights.success_rate, success_told),
            Figure("latency", latency, weights.latency, latency_told),
            Figure("load", load, weights.load, load_told),
            Figure("availability", available, weights.availability, breaker),
        )

    def _latency(self, measured: _Measured | None) -> tuple[float, str]:
        if measured is None or measured.successes < 1:
            return UNKNOWN, "not measured"
        mean = measured.seconds / measured.successes
        known = self._target / (self._target + mean)
        value = (measured.successes * known + UNKNOWN) / (measured.successes + 1)
        return value, f"{mean:.3f} s a call"


def _fit(definition: AgentDefinition, wanted: Capability | None) -> tuple[float, str]:
    offered = len(definition.capabilities)
    if wanted is None or wanted not in definition.capabilities:
        return UNKNOWN, "no capability is asked for"
    return 1 / offered, f"one of {offered} capabilities" if offered > 1 else "its only capability"


def _success(measured: _Measured | None) -> tuple[float, str]:
    calls = 0.0 if measured is None else measured.successes + measured.failures
    if measured is None or calls < 1:
        return UNKNOWN, "not measured"
    # As if there had been one more call of each kind: few calls say little.
    value = (measured.successes + 1) / (calls + 2)
    return value, f"{measured.successes / calls:.1%} of {calls:.0f} calls"


def _load(state: MemberState | None) -> tuple[float, str]:
    if state is None or state.capacity < 1:
        return UNKNOWN, "not told lately"
    free = max(0.0, 1 - state.active / state.capacity)
    return free, f"{state.active} of {state.capacity} calls at a time"
