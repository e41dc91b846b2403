"""Bulk requests: one call for many objects, and one result for each."""

from typing import Any

import pytest
from aiohttp import web

from streamapp.errors import Permanent, ServiceError
from streamapp.pipeline.batching import Batching
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import retry
from streamapp.testing import PipelineDriver
from streamapp.topics.topic import Topic
from tests.unit.agents.built import built, faults
from tests.unit.agents.services import Answer, Service, answering, opened, serving


async def _doubling(service: Service, _request: web.Request) -> web.Response:
    results: list[Any] = []
    for one in service.bodies[-1]:
        if one["n"] < 0:
            results.append({"error": "negative"})
        else:
            results.append({"n": 2 * one["n"], "error": None} if one["n"] else None)
    return web.json_response(results)


async def _call(answer: Answer, values: list[Any], **settings: Any) -> Any:
    async with (
        serving(answer) as service,
        opened(built("BulkRequest", {"url": service.url + "/score", **settings})) as agent,
    ):
        return await agent(values)


async def test_each_object_has_its_result() -> None:
    found = await _call(_doubling, [{"n": 1}, {"n": 0}, {"n": -1}], error="error")
    assert found[:2] == [{"n": 2, "error": None}, None]
    assert isinstance(found[2], Permanent)
    assert str(found[2]) == "the service refuses it: its result has error"


async def test_lists_may_stand_within_request_and_answer() -> None:
    async def wrapped(service: Service, _request: web.Request) -> web.Response:
        return web.json_response({"data": {"rows": service.bodies[-1]["batch"]["items"]}})

    settings = {"items": "batch.items", "results": "data.rows"}
    assert await _call(wrapped, [{"n": 1}, {"n": 2}], **settings) == [{"n": 1}, {"n": 2}]


async def test_a_result_that_is_no_object_fails_its_record() -> None:
    found = await _call(answering(body=b'[1, {"n": 1}]'), [{}, {}])
    assert str(found[0]) == "the result of the service is a number, not an object"
    assert found[1] == {"n": 1}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(body=b"[{}]"), "$: 1 results for 2 objects"),
        (answering(body=b"{}"), "$: the results are an object"),
        (answering(body=b"["), "something else than JSON"),
        (answering(status=404), "the service has nothing at this address"),
        (answering(status=500), "status 500"),
    ],
)
async def test_an_answer_that_is_none_for_each_is_the_worlds_fault(
    answer: Answer, why: str
) -> None:
    with pytest.raises(ServiceError) as raised:
        await _call(answer, [{}, {}])
    assert why in str(raised.value)


async def test_batches_are_as_large_as_configured() -> None:
    async with serving(_doubling) as service:
        settings = {"url": service.url, "size": 3, "linger_seconds": 5}
        agent = built("BulkRequest", settings)
        assert agent.batching == Batching(3, 5)
        pipeline = Pipeline("bulk", source=Topic("in", dict[str, Any])).stage(agent).sink("out")
        async with PipelineDriver(pipeline).start() as running:
            await running.send_all([{"n": n} for n in range(1, 7)])
            results = await running.results()
    assert [output["n"] for output in results.outputs] == [2, 4, 6, 8, 10, 12]
    assert [len(body) for body in service.bodies] == [3, 3]


async def test_a_batch_that_is_refused_is_tried_one_by_one() -> None:
    async def refusing(service: Service, _request: web.Request) -> web.Response:
        values = service.bodies[-1]
        return web.json_response(values, status=422 if {"n": 2} in values else 200)

    async with serving(refusing) as service:
        agent = built("BulkRequest", {"url": service.url, "size": 3, "linger_seconds": 5})
        pipeline = (
            Pipeline("bulk", source=Topic("in", dict[str, Any]))
            .stage(agent, on_error=retry(2))
            .sink("out")
        )
        async with PipelineDriver(pipeline).start() as running:
            await running.send_all([{"n": n} for n in (1, 2, 3)])
            results = await running.results()
    assert results.outputs == [{"n": 1}, {"n": 3}]
    assert [letter.attempts for letter in results.dead_letters()] == [1]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"url": "host"}, "url: give an address that begins with http:// or https://"),
        ({"size": 0}, "size: should be greater than or equal to 1"),
        ({"linger_seconds": 31}, "linger_seconds: should be less than or equal to 30"),
        ({"results": "a[*]"}, "results: 'a[*]' may find several values"),
    ],
)
def test_a_wrong_setting_is_told_with_its_path(settings: dict[str, Any], why: str) -> None:
    assert faults("BulkRequest", {"url": "http://host", **settings})[0].startswith(why)
