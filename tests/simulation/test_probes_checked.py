"""The checker tells probes from calls within attempts that had begun before the stage was held."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from streamapp.observability.stage_metrics import BreakerState, StageMetrics
from tests.simulation.holds import Holds
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenario import Scenario, draw
from tests.simulation.simulate import simulate
from tests.simulation.workload import Agents

HOLDS_A_POOL = 3390
"""Its pool gives free places to several waiting attempts at the moment at which its stage holds."""


class Held:
    """A stage that holds its records, and what its checker complains of."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.complaints: list[str] = []
        self.checks: Counter[str] = Counter()
        self.metrics = StageMetrics("sim", "s0", "sim.source")
        agents = Agents(scenario_with_a_pool(), loop)
        self.holds = Holds(agents, loop, self.complaints.append, self.checks)
        self.holds.metrics_of = lambda _process, _stage: self.metrics

    def hold(self) -> None:
        self.metrics.breaker_state, self.metrics.held_since = BreakerState.OPEN, 1.0


def scenario_with_a_pool() -> Scenario:
    scenario = draw(HOLDS_A_POOL)
    parts = scenario.stages[0].parts
    assert parts is not None
    assert parts.capacities
    return scenario


@pytest.fixture
def held() -> Iterator[Held]:
    loop = VirtualLoop(random.Random(0), 0.0)
    yield Held(loop)
    loop.close()


def test_an_attempt_that_begins_while_another_probes_is_told(held: Held) -> None:
    held.hold()
    held.holds.attempt_began("w1", 0, "1")
    assert not held.complaints
    held.holds.attempt_began("w1", 0, "2")
    assert held.complaints == ["w1 probes with '2' beside [(0, '1')]"]


def test_a_probe_after_one_that_has_ended_is_well(held: Held) -> None:
    held.hold()
    for value in ("1", "2"):
        held.holds.attempt_began("w1", 0, value)
        held.holds.attempt_ended("w1", 0, value, None)
    assert held.checks["probe"] == 2
    assert not held.complaints


def test_an_attempt_from_before_is_no_probe(held: Held) -> None:
    held.holds.attempt_began("w1", 0, "1")
    held.hold()
    held.holds.attempt_began("w1", 0, "2")
    assert not held.complaints


def test_attempts_from_before_the_hold_may_still_be_given_members_of_their_pool() -> None:
    assert not simulate(HOLDS_A_POOL).complaints
