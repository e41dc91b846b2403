"""Scores: what was measured counts, fades, is told, and outlasts a restart."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import RegistryError
from streamapp.observability.stage_metrics import BreakerState, MemberState
from streamapp.pipeline.capability import Capability
from streamapp.registry import scores as scores_module
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.figures import Weights, cost_of, read_weights
from streamapp.registry.scores import FADING_SECONDS, MOST_CALLS, STATE_SECONDS, Scores
from tests.hand_clock import HandClock


def defined(agent_id: str = "one", *capabilities: Capability) -> AgentDefinition:
    return AgentDefinition(
        agent_id=agent_id,
        agent_class="Agent",
        module_path="shop.agents",
        capabilities=capabilities,
        input_schema="A",
        output_schema="B",
    )


def figure(
    scores: Scores, name: str, wanted: Capability | None = None, *offered: Capability
) -> Any:
    found = scores.score(defined("one", *offered), wanted).figures
    return next(one for one in found if one.name == name)


def value(scores: Scores, agent_id: str = "one") -> float:
    return scores.score(defined(agent_id)).value


def state(active: int = 0, breaker: BreakerState = BreakerState.CLOSED) -> MemberState:
    return MemberState("one", active, 4, breaker, 0.0, 0, 0)


def test_of_what_is_not_known_nothing_is_assumed() -> None:
    score = Scores(clock=HandClock()).score(defined())
    assert score.value == 0.5
    assert {one.value for one in score.figures} == {0.5}
    assert [one.told for one in score.figures] == [
        "no capability is asked for",
        "not measured",
        "not measured",
        "not told lately",
        "not told lately",
    ]


def test_success_raises_a_score_and_failure_lowers_it() -> None:
    scores = Scores(clock=HandClock())
    for _ in range(9):
        scores.succeeded("one", 0.1)
    scores.failed("one")
    scores.failed("two")
    assert value(scores, "two") < 0.5 < value(scores)
    assert figure(scores, "success_rate").told == "90.0% of 10 calls"
    assert figure(scores, "success_rate").value == pytest.approx(10 / 12)


def test_few_calls_say_little() -> None:
    scores = Scores(clock=HandClock())
    scores.succeeded("one", 0.0)
    once = value(scores)
    for _ in range(99):
        scores.succeeded("one", 0.0)
    assert 0.5 < once < value(scores)


def test_a_call_as_long_as_the_target_is_worth_half() -> None:
    scores = Scores(clock=HandClock(), target_seconds=2)
    for _ in range(400):
        scores.succeeded("one", 2.0)
        scores.succeeded("two", 0.0)
    assert figure(scores, "latency").value == pytest.approx(0.5)
    assert figure(scores, "latency").told == "2.000 s a call"
    assert value(scores) < value(scores, "two")


def test_what_was_measured_fades_until_nothing_is_known() -> None:
    clock = HandClock()
    scores = Scores(clock=clock)
    for _ in range(100):
        scores.failed("one")
    worst = value(scores)
    clock.advance(FADING_SECONDS)
    assert worst < value(scores) < 0.5
    clock.advance(9 * FADING_SECONDS)
    assert value(scores) == 0.5


def test_a_change_is_seen_however_many_calls_there_were_before() -> None:
    scores = Scores(clock=HandClock())
    for _ in range(20 * int(MOST_CALLS)):
        scores.succeeded("one", 0.1)
    for _ in range(int(MOST_CALLS)):
        scores.failed("one")
    assert figure(scores, "success_rate").value < 0.5


def test_the_only_capability_fits_better_than_one_of_several() -> None:
    scores = Scores(clock=HandClock())
    wanted = Capability.DATA_VALIDATION
    only = figure(scores, "capability_fit", wanted, wanted)
    one_of_two = figure(scores, "capability_fit", wanted, wanted, Capability.DATA_ENRICHMENT)
    assert (only.value, only.told) == (1.0, "its only capability")
    assert (one_of_two.value, one_of_two.told) == (0.5, "one of 2 capabilities")


def test_load_and_breaker_count_as_long_as_they_are_new() -> None:
    clock = HandClock()
    scores = Scores(clock=clock)
    scores.observe("one", state(active=3, breaker=BreakerState.OPEN))
    assert figure(scores, "load").value == 0.25
    assert figure(scores, "load").told == "3 of 4 calls at a time"
    assert (figure(scores, "availability").value, figure(scores, "availability").told) == (
        0.0,
        "breaker open",
    )
    scores.observe("one", state(breaker=BreakerState.HALF_OPEN))
    assert figure(scores, "availability").value == 0.5
    clock.advance(STATE_SECONDS + 1)
    assert figure(scores, "load").told == "not told lately"


def test_weights_say_what_counts() -> None:
    only_latency = Weights(capability_fit=0, success_rate=0, load=0, availability=0)
    scores = Scores(only_latency, clock=HandClock())
    scores.failed("one")
    assert value(scores) == 0.5
    scores.succeeded("one", 100.0)
    assert value(scores) < 0.5


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"sucess_rate": 1}, "weights.sucess_rate: there is no such field; did you mean 'success_"),
        ({"load": -1}, "weights.load: should be greater than or equal to 0, not -1"),
        (dict.fromkeys(Weights.model_fields, 0), "weights: all are 0; at least one has to count"),
        (3, "weights: give an object, {...}, not 3"),
    ],
)
def test_wrong_weights_are_told(data: Any, told: str) -> None:
    with pytest.raises(RegistryError) as raised:
        read_weights(data)
    assert str(raised.value).startswith(told)
    assert read_weights({"load": 2}).load == 2


def test_a_snapshot_is_json_and_brings_back_what_was_measured() -> None:
    before = Scores(clock=HandClock())
    for _ in range(20):
        before.succeeded("one", 0.2)
    before.failed("two")
    after = Scores(clock=HandClock(monotonic=5.0))
    after.restore(json.loads(json.dumps(before.snapshot())))
    for agent_id in ("one", "two"):
        assert value(after, agent_id) == pytest.approx(value(before, agent_id))


def test_time_between_a_snapshot_and_its_return_fades_too() -> None:
    before = Scores(clock=HandClock())
    for _ in range(20):
        before.failed("one")
    later = Scores(clock=HandClock(monotonic=5.0, time=1_700_000_000.0 + FADING_SECONDS))
    earlier = Scores(clock=HandClock(time=1_600_000_000.0))
    for scores in (later, earlier):
        scores.restore(before.snapshot())
    assert value(before) < value(later) < 0.5
    assert value(earlier) == pytest.approx(value(before))  # a clock that was set back


@pytest.mark.parametrize(
    ("snapshot", "told"),
    [
        ({}, "scores.taken_at: is missing"),
        ({"taken_at": 1, "agents": {"one": {"successes": -1}}}, "scores.agents.one.successes: "),
        ({"taken_at": float("nan"), "agents": {}}, "scores.taken_at: "),
    ],
)
def test_a_wrong_snapshot_changes_nothing(snapshot: Any, told: str) -> None:
    scores = Scores(clock=HandClock())
    scores.failed("one")
    known = value(scores)
    with pytest.raises(RegistryError) as raised:
        scores.restore(snapshot)
    assert str(raised.value).startswith(told)
    assert value(scores) == known


def test_agents_are_forgotten_when_told_or_when_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scores_module, "MOST_AGENTS", 2)
    scores = Scores(clock=HandClock())
    for agent_id in ("one", "two", "one", "three"):
        scores.failed(agent_id)
    assert [agent_id for agent_id in ("one", "two", "three") if value(scores, agent_id) < 0.5] == [
        "one",
        "three",
    ]
    scores.forget("one")
    assert value(scores) == 0.5


@given(st.floats(0, 1), st.floats(0, 1))
def test_costs_are_ordered_as_scores_are(one: float, other: float) -> None:
    assert (cost_of(one) <= cost_of(other)) or one < other
    assert cost_of(1.0) == 0


def test_the_cost_of_an_agent_is_that_of_its_score() -> None:
    scores = Scores(clock=HandClock())
    scores.failed("one")
    wanted = Capability.DATA_VALIDATION
    for agent in (defined("one", wanted), defined("two", wanted), defined("three")):
        for asked in (wanted, None):
            assert scores.cost(agent, asked) == cost_of(scores.score(agent, asked).value)
