"""Tells scores what the counters of stages say, as differences between two looks.

A record costs nothing more than without scores: the counters are there already.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamapp.observability.stage_metrics import MemberState, StageMetrics
from streamapp.registry.scores import SavedAgent, Scores


@dataclass(frozen=True, slots=True)
class Watched:
    """A stage whose agents are measured.

    Attributes:
        metrics: its counters.
        members: ids of its agents; several that share its work.
        lanes: counters of the stage whose lanes it uses: its own, or that which it is fused to.
        capacity: attempts that may run at once.
    """

    metrics: StageMetrics
    members: tuple[str, ...]
    lanes: StageMetrics
    capacity: int


@dataclass(frozen=True, slots=True)
class _Totals:
    """What the counters say of an agent since they began.

    Attributes:
        successes, failures: calls that succeeded, and that failed not through the record's fault.
        ended: calls that took the seconds.
        seconds: how long all calls together took.
    """

    successes: int = 0
    failures: int = 0
    ended: int = 0
    seconds: float = 0.0


class ScoreFeed:
    """Measures agents by the counters of their stages.

    Args:
        scores: told of what is measured.
    """

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._watched: dict[int, Watched] = {}
        self._seen: dict[tuple[int, str], _Totals] = {}
        self._untaken: dict[str, SavedAgent] = {}

    def watch(self, stage: Watched) -> None:
        """Measure the agents of a stage from now on, in place of those that it had."""
        key = id(stage.metrics)
        self._watched[key] = stage
        self._seen = {known: seen for known, seen in self._seen.items() if known[0] != key}
        for agent_id, totals in _totals(stage, _states(stage.metrics, 0.0)):
            self._seen[key, agent_id] = totals

    def look(self, now: float) -> None:
        """Tell what has changed since the last look, at a time in monotonic seconds."""
        for key, stage in self._watched.items():
            states = _states(stage.metrics, now)
            for agent_id, totals in _totals(stage, states):
                self._tell((key, agent_id), totals)
            for state in states.values() if states else _own_state(stage):
                if state.name in stage.members:
                    self._scores.observe(state.name, state)

    def take(self) -> Mapping[str, SavedAgent]:
        """What was measured since it was last taken, by ids of agents."""
        taken, self._untaken = self._untaken, {}
        return taken

    def give_back(self, calls: Mapping[str, SavedAgent]) -> None:
        """Take back what could not be written, for the next time."""
        for agent_id, one in calls.items():
            self._add(agent_id, one)

    def _tell(self, key: tuple[int, str], now: _Totals) -> None:
        before = self._seen.get(key, _Totals())
        # Calls that are under way may count as ended before they are; then they are waited for.
        successes = max(0, now.successes - before.successes)
        failures, ended = now.failures - before.failures, now.ended - before.ended
        seconds = max(0.0, now.seconds - before.seconds) * successes / max(1, ended, successes)
        most = max(now.successes, before.successes)
        self._seen[key] = _Totals(most, now.failures, now.ended, now.seconds)
        if successes or failures:
            calls = SavedAgent(successes=successes, failures=failures, seconds=seconds)
            self._scores.add(key[1], calls)
            self._add(key[1], calls)

    def _add(self, agent_id: str, calls: SavedAgent) -> None:
        known = self._untaken.get(agent_id)
        self._untaken[agent_id] = calls if known is None else _sum(known, calls)


def _sum(one: SavedAgent, other: SavedAgent) -> SavedAgent:
    return SavedAgent(
        successes=one.successes + other.successes,
        failures=one.failures + other.failures,
        seconds=one.seconds + other.seconds,
    )


def _states(metrics: StageMetrics, now: float) -> Mapping[str, MemberState]:
    """The members of the pools in the agent of a stage, by their names."""
    return {state.name: state for read in metrics.pools.values() for state in read(now)}


def _totals(stage: Watched, states: Mapping[str, MemberState]) -> Iterator[tuple[str, _Totals]]:
    """What is known of each agent: of a part, its own counters; else those of the stage."""
    metrics = stage.metrics
    for agent_id in stage.members:
        part = metrics.parts.get(agent_id)
        if part is not None:
            active = states[agent_id].active if agent_id in states else 0
            ended = part.calls - active
            successes = ended - part.failures - part.cancelled
            yield agent_id, _Totals(successes, part.blamed, ended, part.seconds)
        elif len(stage.members) == 1:
            durations = metrics.attempt_duration
            seconds = durations.total * durations.unit_seconds
            successes = metrics.processed + metrics.filtered
            attempts = sum(durations.counts)
            yield agent_id, _Totals(successes, metrics.blamed_attempts, attempts, seconds)


def _own_state(stage: Watched) -> Sequence[MemberState]:
    """The state of an agent that does the work of a stage alone."""
    if len(stage.members) > 1:
        return ()
    metrics, capacity = stage.metrics, stage.capacity
    active = max(0, min(stage.lanes.busy_lanes, capacity))
    state = MemberState(
        stage.members[0],
        active,
        capacity,
        metrics.breaker_state,
        0.0,
        calls=sum(metrics.attempt_duration.counts),
        failures=metrics.blamed_attempts,
        opened_at=metrics.breaker_opened_at,
    )
    return (state,)
