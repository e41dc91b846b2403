"""Each built-in agent at work on the memory broker, from a definition that is data alone."""

from typing import Any

import pytest

from streamapp.pipeline.capability import Capability
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import dead_letter
from streamapp.testing import PipelineDriver
from streamapp.topics.topic import Topic
from tests.unit.agents.built import MODULES, built

Values = list[dict[str, Any]]

CASES: dict[str, tuple[Capability, dict[str, Any], Values, Values]] = {
    "Deduplicator": (
        Capability.STREAM_PROCESSING,
        {"key": "id", "window_seconds": 60},
        [{"id": 1}, {"id": 2}, {"id": 1}],
        [{"id": 1}, {"id": 2}],
    ),
    "FieldMapper": (
        Capability.DATA_TRANSFORMATION,
        {"fields": {"ms": {"from": "ms", "cast": "integer"}}, "rename": {"id": "session"}},
        [{"id": "s", "ms": "250"}],
        [{"session": "s", "ms": 250}],
    ),
    "Filter": (
        Capability.STREAM_PROCESSING,
        {"rules": [{"path": "ms", "operator": "at_least", "value": 1000}]},
        [{"ms": 999}, {"ms": 1000}],
        [{"ms": 1000}],
    ),
    "Router": (
        Capability.STREAM_PROCESSING,
        {"routes": [{"to": "live", "rules": [{"path": "live", "operator": "exists"}]}]},
        [{"id": 1}, {"id": 2, "live": True}],
        [{"id": 1}],
    ),
    "Validator": (
        Capability.DATA_VALIDATION,
        {"json_schema": {"type": "object", "required": ["id"]}},
        [{"id": 1}],
        [{"id": 1}],
    ),
}


def _pipeline(agent_class: str, configuration: dict[str, Any]) -> Pipeline[Any, Any]:
    agent = built(agent_class, configuration, capabilities=[CASES[agent_class][0]])
    routes = {}
    if agent_class == "Router":
        routes["live"] = Topic("live", dict[str, Any])
    return (
        Pipeline("built-in", source=Topic("in", dict[str, Any]))
        .stage(agent, on_error=dead_letter(), routes=routes)
        .sink("out")
    )


def test_every_agent_has_its_case() -> None:
    assert CASES.keys() == MODULES.keys()


@pytest.mark.parametrize("agent_class", CASES)
def test_an_agent_works_from_its_definition_alone(agent_class: str) -> None:
    capability, configuration, inputs, outputs = CASES[agent_class]
    results = PipelineDriver(_pipeline(agent_class, configuration)).run(inputs)
    assert results.outputs == outputs
    assert not results.dead_letters()
    assert built(agent_class, configuration).capabilities == frozenset()
    made = built(agent_class, configuration, capabilities=[capability])
    assert made.capabilities == frozenset({capability})
    assert made.description


def test_a_router_writes_to_its_routes() -> None:
    _, configuration, inputs, _ = CASES["Router"]
    results = PipelineDriver(_pipeline("Router", configuration)).run(inputs)
    assert [output.value for output in results.records("live")] == [inputs[1]]


def test_a_record_that_does_not_fit_becomes_a_dead_letter_at_once() -> None:
    pipeline = _pipeline("Validator", CASES["Validator"][1])
    letters = PipelineDriver(pipeline).run([{}]).dead_letters()
    assert [(letter.error, letter.attempts) for letter in letters] == [("Permanent", 1)]
    assert letters[0].message == '$: "id" is a required property'
