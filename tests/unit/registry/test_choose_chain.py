"""Assembly: a chain is found exactly when there is one, it is the best, and all is explained."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import RegistryError
from streamapp.pipeline.capability import Capability
from streamapp.registry.choose_chain import choose_chain
from streamapp.registry.definition import AgentDefinition
from streamapp.registry.entry import Entry
from streamapp.registry.explanation import AssemblyError, Explanation, Outcome
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from tests.hand_clock import HandClock
from tests.unit.registry.random_registries import (
    CAPABILITIES,
    DEFINITIONS,
    SCHEMAS,
    every_chain,
    ids_of,
    registry_of,
)

VALIDATE, ENRICH, AGGREGATE = CAPABILITIES
_RARELY: st.SearchStrategy[bool] = st.integers(0, 9).map(lambda drawn: drawn == 9)


def product(scores: Scores, chain: tuple[Entry, ...], wanted: list[Capability]) -> float:
    value = 1.0
    for entry, one in zip(chain, wanted, strict=True):
        value *= scores.score(entry.definition, one).value
    return value


@settings(max_examples=300)
@given(DEFINITIONS, st.lists(st.sampled_from(CAPABILITIES), min_size=2, max_size=4), st.data())
def test_a_chain_is_found_exactly_when_there_is_one_and_it_is_the_best(
    definitions: list[AgentDefinition], wanted: list[Capability], data: st.DataObject
) -> None:
    registry = registry_of(definitions)
    scores = Scores(clock=HandClock())
    for one in definitions:
        for _ in range(data.draw(st.integers(0, 1))):
            scores.failed(one.agent_id)
    source, sink = (data.draw(st.sampled_from([None, *sorted(SCHEMAS)])) for _ in range(2))
    exclude = [one.agent_id for one in definitions if data.draw(_RARELY)]
    pins = _drawn_pins(data, definitions, wanted, exclude)
    possible = [
        chain
        for chain in every_chain(registry, len(wanted))
        if all(
            one in entry.definition.capabilities for entry, one in zip(chain, wanted, strict=True)
        )
        and not set(exclude) & set(ids_of(chain))
        and all(chain[number - 1].agent_id == agent_id for number, agent_id in pins.items())
        and (source is None or registry.check.fits(registry.schemas.of(source), chain[0].input_))
        and (sink is None or registry.check.fits(chain[-1].output, registry.schemas.of(sink)))
    ]
    request: Any = {"source": source, "sink": sink, "pins": pins, "exclude": exclude}
    if not possible:
        with pytest.raises(AssemblyError) as raised:
            choose_chain(registry, wanted, scores=scores, **request)
        _check_failure(raised.value.explanation, str(raised.value))
        return
    choice = choose_chain(registry, wanted, scores=scores, **request)
    best = min(possible, key=lambda one: (-round(product(scores, one, wanted), 9), ids_of(one)))
    assert choice.explanation.chain == ids_of(choice.entries) == ids_of(best)
    in_any = [{chain[place].agent_id for chain in possible} for place in range(len(wanted))]
    for step, possible_ids in zip(choice.explanation.steps, in_any, strict=True):
        offering = registry.find_by_capability(step.capability)
        assert {one.agent_id for one in step.candidates} == {one.agent_id for one in offering}
        rejected = {one.agent_id for one in step.candidates if one.outcome is Outcome.REJECTED}
        assert not rejected & possible_ids
        assert all(one.reason for one in step.candidates)


def _drawn_pins(
    data: st.DataObject,
    definitions: list[AgentDefinition],
    wanted: list[Capability],
    exclude: list[str],
) -> dict[int, str]:
    number = data.draw(st.integers(1, len(wanted)))
    able = [
        one.agent_id
        for one in definitions
        if wanted[number - 1] in one.capabilities and one.agent_id not in exclude
    ]
    is_pinned = data.draw(st.booleans())
    return {number: data.draw(st.sampled_from(able))} if able and is_pinned else {}


def _offers(chain: tuple[Entry, ...], wanted: list[Capability]) -> bool:
    pairs = zip(chain, wanted, strict=True)
    return all(one in entry.definition.capabilities for entry, one in pairs)


def _check_failure(explanation: Explanation, message: str) -> None:
    assert explanation.chain == ()
    assert explanation.failed_step is not None
    step = explanation.steps[explanation.failed_step - 1]
    assert message == explanation.reason
    assert message.startswith(f"assembly: step {step.number} ({step.capability}): ")
    assert all(
        one.outcome is not Outcome.CHOSEN for step in explanation.steps for one in step.candidates
    )


@settings(max_examples=60)
@given(
    DEFINITIONS,
    st.lists(st.sampled_from(CAPABILITIES), min_size=2, max_size=3),
    st.randoms(use_true_random=False),
)
def test_the_order_of_registration_changes_nothing(
    definitions: list[AgentDefinition], wanted: list[Capability], rng: Any
) -> None:
    shuffled = list(definitions)
    rng.shuffle(shuffled)
    assert _answer(registry_of(definitions), wanted) == _answer(registry_of(shuffled), wanted)


def _answer(registry: AgentRegistry, wanted: list[Capability]) -> str:
    try:
        explanation = choose_chain(registry, wanted, scores=Scores(clock=HandClock())).explanation
    except AssemblyError as error:
        explanation = error.explanation
    return json.dumps(explanation.as_json())


def _definition(
    agent_id: str, wanted: Capability, takes: Any, gives: Any, **fields: Any
) -> AgentDefinition:
    return AgentDefinition(
        agent_id=agent_id,
        agent_class="Agent",
        module_path="shop.agents",
        capabilities=(wanted,),
        input_schema=takes,
        output_schema=gives,
        **fields,
    )


def _message(registry: AgentRegistry, *wanted: Capability, **request: Any) -> str:
    with pytest.raises(AssemblyError) as raised:
        choose_chain(registry, wanted, scores=Scores(clock=HandClock()), **request)
    return str(raised.value)


def test_the_best_first_agent_is_not_taken_if_no_chain_goes_on_from_it() -> None:
    registry = registry_of(
        [
            _definition("good", VALIDATE, "A", "D"),
            _definition("poor", VALIDATE, "A", "B"),
            _definition("enrich", ENRICH, "B", "C"),
        ]
    )
    scores = Scores(clock=HandClock())
    scores.failed("poor")
    choice = choose_chain(registry, [VALIDATE, ENRICH], scores=scores)
    assert choice.explanation.chain == ("poor", "enrich")
    reasons = {one.agent_id: one for one in choice.explanation.steps[0].candidates}
    assert reasons["good"].outcome is Outcome.REJECTED
    assert reasons["good"].reason == (
        "no agent of step 2 takes what it gives; nearest is 'enrich':"
        " no: 'b' is required, and is not written"
    )
    assert reasons["poor"].reason == "part of the best chain, whose score is 0.281"


def test_every_candidate_is_explained() -> None:
    registry = registry_of(
        [
            _definition("a", VALIDATE, "A", "B"),
            _definition("b", VALIDATE, "A", "B"),
            _definition("c", VALIDATE, "D", "B"),
            _definition("d", VALIDATE, "A", "B"),
            _definition("e", VALIDATE, "A", "D"),
            _definition("next", ENRICH, "A", "A"),
            _definition("dead", ENRICH, "D", "A"),
            _definition("last", AGGREGATE, "A", "C"),
        ]
    )
    scores = Scores(clock=HandClock())
    scores.failed("b")
    wanted = [VALIDATE, ENRICH, AGGREGATE]
    choice = choose_chain(
        registry, wanted, scores=scores, source="A", exclude=["d"], pins={2: "next"}
    )
    first, second, _ = choice.explanation.steps
    assert [(one.agent_id, one.outcome.value) for one in first.candidates] == [
        ("a", "chosen"),
        ("c", "rejected"),
        ("d", "rejected"),
        ("e", "rejected"),
        ("b", "possible"),
    ]
    reasons = {one.agent_id: one.reason for one in (*first.candidates, *second.candidates)}
    assert reasons["b"] == "the best chain with it has a score of 0.158 at most"
    assert reasons["c"] == (
        "does not take what the pipeline is given: no: 'a' may be integer, and has to be string"
    )
    assert reasons["d"] == "excluded"
    assert reasons["dead"] == "the step is pinned to 'next'"
    assert reasons["next"].startswith("pinned, and part of the best chain")
    assert second.candidates[0].notes == ("not read: b",)
    assert json.loads(json.dumps(choice.explanation.as_json()))["chain"] == ["a", "next", "last"]


def test_equal_chains_are_told_apart_by_their_ids() -> None:
    registry = registry_of(
        [_definition(one, VALIDATE, "A", "B") for one in ("b", "a", "c")]
        + [_definition("next", ENRICH, "B", "C")]
    )
    choice = choose_chain(registry, [VALIDATE, ENRICH], scores=Scores(clock=HandClock()))
    assert choice.explanation.chain == ("a", "next")
    assert choice.explanation.steps[0].candidates[1].reason.startswith("a chain with it is as good")


def test_it_is_told_which_step_failed_and_what_was_nearest() -> None:
    registry = registry_of(
        [
            _definition("a", VALIDATE, "A", "A"),
            _definition("near", ENRICH, "B", "C"),
            _definition("far", ENRICH, "C", "C"),
        ]
    )
    assert _message(registry, VALIDATE, ENRICH) == (
        "assembly: step 2 (data_enrichment): none of 2 agents takes what step 1 gives;"
        " nearest is 'near' after 'a': no: 'b' is required, and is not written"
    )
    assert _message(registry, VALIDATE, ENRICH, AGGREGATE).startswith("assembly: step 2 ")
    assert _message(registry, VALIDATE, AGGREGATE).endswith(": no agent offers it")
    assert _message(registry, VALIDATE, ENRICH, exclude=["near", "far"]).endswith(
        "step 2 (data_enrichment): all that offer it are excluded: 'far', 'near'"
    )
    assert _message(registry, VALIDATE, ENRICH, source="D").startswith(
        "assembly: step 1 (data_validation): none of 1 agents takes what the pipeline is given;"
    )
    registry.register(_definition("b", VALIDATE, "A", "C"))
    assert "step 2 (data_enrichment): none of its agents gives what the pipeline" in _message(
        registry, VALIDATE, ENRICH, sink="D"
    )


def test_an_agent_stands_once_in_a_chain() -> None:
    registry = registry_of([_definition("a", VALIDATE, "A", "A")])
    assert _message(registry, VALIDATE, VALIDATE).endswith(
        "every chain would use an agent twice; register another one"
    )


@pytest.mark.parametrize(
    ("wanted", "request_", "told"),
    [
        ([VALIDATE], {}, "give at least two capabilities"),
        ("data_validation", {}, "give at least two capabilities"),
        ([VALIDATE, "fly"], {}, "'fly' is no capability"),
        ([VALIDATE, VALIDATE], {"pins": {3: "a"}}, "'a' is pinned to step 3; the steps are 1 to 2"),
        ([VALIDATE, ENRICH], {"pins": {2: "a"}}, "step 2, and does not offer data_enrichment; it"),
        ([VALIDATE, ENRICH], {"pins": {1: "a"}, "exclude": ["a"]}, "pinned to step 1 and excluded"),
        ([VALIDATE, ENRICH], {"pins": {1: "x"}}, "no agent 'x'"),
        ([VALIDATE, ENRICH], {"exclude": ["x"]}, "no agent 'x'"),
        ([VALIDATE, ENRICH], {"source": "nothing"}, "no schema 'nothing'"),
    ],
)
def test_a_wrong_request_is_told(wanted: Any, request_: dict[str, Any], told: str) -> None:
    registry = registry_of([_definition("a", VALIDATE, "A", "A")])
    with pytest.raises(RegistryError, match=told):
        choose_chain(registry, wanted, **request_)


def test_a_choice_is_not_explained_by_agents_that_came_later() -> None:
    definitions = [_definition("a", VALIDATE, "A", "B"), _definition("next", ENRICH, "B", "C")]
    registry = registry_of(definitions)
    choice = choose_chain(registry, [VALIDATE, ENRICH], scores=Scores(clock=HandClock()))
    registry.unregister("next")
    with pytest.raises(RegistryError, match="have changed since this choice; choose again"):
        choice.explanation  # noqa: B018 - it is made when it is asked for
