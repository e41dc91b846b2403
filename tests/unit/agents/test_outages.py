"""A service that is down for a while costs no record, whatever agent asks it."""

from typing import Any

import pytest
from aiohttp import web

from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.testing import Input, PipelineDriver
from streamapp.topics.topic import Topic
from tests.unit.agents.built import built
from tests.unit.agents.services import Service, serving

RECORDS = 40
FAILURES = 30
"""Requests that fail before the service recovers; far more than a policy would retry."""

PROBING_SOON = BreakerConfig(first_probe_seconds=0.01, longest_probe_seconds=0.02)


async def _down_at_first(service: Service, request: web.Request) -> web.Response:
    if len(service.paths) <= FAILURES:
        return web.Response(status=(503, 429, 500)[len(service.paths) % 3])
    if request.method == "GET":
        return web.json_response("known")
    return web.json_response(service.bodies[-1])


@pytest.mark.parametrize("agent_class", ["HttpLookup", "BulkRequest"])
async def test_no_record_is_lost_to_an_outage(agent_class: str) -> None:
    async with serving(_down_at_first) as service:
        configuration: dict[str, Any] = {"url": f"{service.url}/all", "size": 4}
        if agent_class == "HttpLookup":
            url = f"{service.url}/titles/{{key}}"
            configuration = {"url": url, "key": "n", "into": "about"}
        pipeline = (
            Pipeline("outage", source=Topic("in", dict[str, Any]))
            .stage(built(agent_class, configuration), breaker=PROBING_SOON)
            .sink("out")
        )
        async with PipelineDriver(pipeline, timeout_seconds=60).start() as running:
            await running.send_all([Input({"n": n}, key=str(n)) for n in range(RECORDS)])
            results = await running.results()
    assert sorted(output["n"] for output in results.outputs) == list(range(RECORDS))
    assert not results.dead_letters()
    assert results.metrics("it").holds > 0
