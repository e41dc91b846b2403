"""Who takes the place of an agent: the best of all that fit, whatever the order of registration."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from streamapp.pipeline.capability import Capability
from streamapp.registry.assemble import Assembled, assemble
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.explanation import Outcome
from streamapp.registry.places import Place
from streamapp.registry.reassembly import MOST_TOLD, Decision, decide
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import SavedAgent, Scores
from tests.hand_clock import HandClock
from tests.unit.reassembly.shop import CHECK, PRICE, Order, Priced, check, check_too, pricer

FIELDS = "abc"
SHAPES = {
    fields: create_model(f"Shape{fields}", **dict.fromkeys(fields, (int, ...)))  # type: ignore[call-overload]  # fields by name
    for fields in ("a", "b", "ab", "bc", "abc")
}


def defined(agent_id: str, takes: str, gives: str, capability: Capability) -> AgentDefinition:
    return AgentDefinition(
        agent_id=agent_id,
        agent_class="Agent",
        module_path="shop.agents",
        capabilities=(capability,),
        input_schema=takes,
        output_schema=gives,
    )


shapes = st.sampled_from(sorted(SHAPES))
agents = st.lists(st.tuples(shapes, shapes, st.integers(0, 5)), max_size=8)


@given(agents, shapes, shapes, st.sets(st.integers(0, 7)), st.randoms(use_true_random=False))
def test_it_is_the_best_of_all_that_fit(
    found: list[tuple[str, str, int]], taken: str, gave: str, refused: set[int], rng: Any
) -> None:
    clock = HandClock()
    scores = Scores(clock=clock)
    registry = AgentRegistry()
    for fields, model in SHAPES.items():
        registry.schemas.bind(fields, model)
    numbered = list(enumerate(found))
    rng.shuffle(numbered)
    for i, (takes, gives, successes) in numbered:
        registry.register(defined(f"agent-{i}", takes, gives, PRICE))
        scores.add(f"agent-{i}", SavedAgent(successes=successes, failures=1, seconds=1))
    schemas = registry.schemas
    place = Place(PRICE, (schemas.of(taken),), schemas.of(gave), ("gone",))
    chosen = decide(
        registry, scores, [place], 1, "gone", {f"agent-{i}": "is tired" for i in refused}
    )
    fitting = [
        (-successes, i)
        for i, (takes, gives, successes) in enumerate(found)
        if i not in refused and set(takes) <= set(taken) and set(gave) <= set(gives)
    ]
    assert chosen.by == (f"agent-{min(fitting)[1]}" if fitting else None)
    by_outcome = {one.agent_id for one in chosen.candidates if one.outcome != Outcome.REJECTED}
    assert by_outcome == {f"agent-{i}" for _, i in fitting}
    assert len(chosen.candidates) == len(found)


def shop(*others: Any) -> Assembled:
    registry = AgentRegistry()
    for one in (check, pricer("a"), *others):
        registry.register(one)
    return assemble(registry, "shop", [CHECK, PRICE], source="orders", sink="priced")


def decided(made: Assembled, number: int, agent_id: str) -> Decision:
    return decide(made.registry, Scores(clock=HandClock()), made.places, number, agent_id, {})


def test_the_places_say_what_agents_take_and_gave() -> None:
    made = shop()
    schemas = made.registry.schemas
    order, priced = schemas.of(Order), schemas.of(Priced)
    assert [(one.taken, one.given, one.members, one.fixed) for one in made.places] == [
        ((order,), order, ("check",), ""),
        ((order,), priced, ("a",), ""),
    ]


def test_without_another_agent_there_is_none() -> None:
    found = decided(shop(), 2, "a")
    assert (found.by, found.candidates) == (None, ())
    assert found.why_none == "no other agent offers it"


def test_an_agent_that_stands_elsewhere_takes_no_second_place() -> None:
    made = shop(check_too)
    both = made.registry.replace(check_too, capabilities=[CHECK, PRICE])
    places = [made.places[0].with_members(["check-too"]), made.places[1]]
    found = decide(made.registry, Scores(clock=HandClock()), places, 2, "a", {})
    assert found.why_none == f"{both.agent_id!r} stands at step 1 already"


def test_of_many_candidates_the_best_are_told() -> None:
    made = shop(*(pricer(f"b{n:03}") for n in range(3 * MOST_TOLD)))
    found = decided(made, 2, "a")
    assert found.by == "b000"
    assert [one.agent_id for one in found.candidates] == [f"b{n:03}" for n in range(MOST_TOLD)]


@pytest.mark.parametrize("number", [1, 2])
def test_names_that_are_bound_later_are_read_anew(number: int) -> None:
    registry = AgentRegistry()
    registry.register(defined("one", "A", "B", CHECK))
    registry.register(defined("two", "B", "C", PRICE))
    for agent_id, takes, gives, capability in (
        ("one-too", "A", "B", CHECK),
        ("two-too", "B", "C", PRICE),
        ("other", "C", "A", CHECK),
    ):
        registry.register(defined(agent_id, takes, gives, capability))
    of = registry.schemas.of
    places = [
        Place(CHECK, (of("A"),), of("B"), ("one",)),
        Place(PRICE, (of("B"),), of("C"), ("two",)),
    ]
    for name, model in zip("ABC", SHAPES.values(), strict=False):
        registry.schemas.bind(name, model)
    gone = places[number - 1].members[0]
    found = decide(registry, Scores(clock=HandClock()), places, number, gone, {})
    assert found.by == f"{gone}-too"
