"""Each built-in agent at work on the memory broker, from a definition that is data alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streamapp.pipeline.capability import Capability
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import dead_letter
from streamapp.testing import PipelineDriver, PipelineResults
from streamapp.topics.topic import Topic
from tests.unit.agents.built import MODULES, built
from tests.unit.agents.services import Service, serving

Values = list[dict[str, Any]]

TITLES = {"t1": "Alien"}

# SERVICE and FOLDER stand for what a test has.
CASES: dict[str, tuple[Capability, dict[str, Any], Values, Values]] = {
    "BulkRequest": (
        Capability.BATCH_PROCESSING,
        {"url": "SERVICE/all", "size": 2},
        [{"id": 1}, {"id": 2}],
        [{"id": 1}, {"id": 2}],
    ),
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
    "FileLookup": (
        Capability.DATA_ENRICHMENT,
        {"path": "FOLDER/titles.json", "key": "title", "into": "name"},
        [{"title": "t1"}],
        [{"title": "t1", "name": "Alien"}],
    ),
    "Filter": (
        Capability.STREAM_PROCESSING,
        {"rules": [{"path": "ms", "operator": "at_least", "value": 1000}]},
        [{"ms": 999}, {"ms": 1000}],
        [{"ms": 1000}],
    ),
    "HttpLookup": (
        Capability.DATA_ENRICHMENT,
        {"url": "SERVICE/titles/{key}", "key": "title", "into": "name"},
        [{"title": "t1"}],
        [{"title": "t1", "name": "Alien"}],
    ),
    "Router": (
        Capability.STREAM_PROCESSING,
        {"routes": [{"to": "live", "rules": [{"path": "live", "operator": "exists"}]}]},
        [{"id": 1}, {"id": 2, "live": True}],
        [{"id": 1}],
    ),
    "RunningAggregates": (
        Capability.DATA_AGGREGATION,
        {"key": "title", "value": "ms", "figures": ["count", "mean"], "into": "so_far"},
        [{"title": "t1", "ms": 1}, {"title": "t1", "ms": 2}],
        [
            {"title": "t1", "ms": 1, "so_far": {"key": "t1", "count": 1, "mean": 1.0}},
            {"title": "t1", "ms": 2, "so_far": {"key": "t1", "count": 2, "mean": 1.5}},
        ],
    ),
    "Validator": (
        Capability.DATA_VALIDATION,
        {"json_schema": {"type": "object", "required": ["id"]}},
        [{"id": 1}],
        [{"id": 1}],
    ),
}


async def _answer(service: Service, request: web.Request) -> web.Response:
    if request.path == "/all":
        return web.json_response(service.bodies.pop())
    return web.json_response(TITLES[request.path.removeprefix("/titles/")])


async def _run(agent_class: str, folder: Path, inputs: Values) -> PipelineResults[Any]:
    capability, configuration, _, _ = CASES[agent_class]
    (folder / "titles.json").write_text(json.dumps(TITLES))
    routes = {"live": Topic("live", dict[str, Any])} if agent_class == "Router" else {}
    async with serving(_answer) as service:
        text = json.dumps(configuration)
        text = text.replace("SERVICE", service.url).replace("FOLDER", str(folder))
        agent = built(agent_class, json.loads(text), capabilities=[capability])
        pipeline = (
            Pipeline("built-in", source=Topic("in", dict[str, Any]))
            .stage(agent, on_error=dead_letter(), routes=routes)
            .sink("out")
        )
        assert agent.capabilities == {capability}
        assert agent.description
        async with PipelineDriver(pipeline).start() as running:
            await running.send_all(inputs)
            return await running.results()


def test_every_agent_has_its_case() -> None:
    in_contract = {"TopicLookup"}  # tests/contract/test_topic_lookup.py
    assert CASES.keys() == MODULES.keys() - in_contract


@pytest.mark.parametrize("agent_class", CASES)
async def test_an_agent_works_from_its_definition_alone(agent_class: str, tmp_path: Path) -> None:
    _, _, inputs, outputs = CASES[agent_class]
    results = await _run(agent_class, tmp_path, inputs)
    found = results.outputs
    for output in found:
        output.get("so_far", {}).pop("since", None)  # the time of this test
    assert found == outputs
    assert not results.dead_letters()


async def test_a_router_writes_to_its_routes(tmp_path: Path) -> None:
    _, _, inputs, _ = CASES["Router"]
    results = await _run("Router", tmp_path, inputs)
    assert [output.value for output in results.records("live")] == [inputs[1]]


async def test_a_record_that_does_not_fit_becomes_a_dead_letter_at_once(tmp_path: Path) -> None:
    letters = (await _run("Validator", tmp_path, [{}])).dead_letters()
    assert [(letter.error, letter.attempts) for letter in letters] == [("Permanent", 1)]
    assert letters[0].message == '$: "id" is a required property'
