"""Agents with a language model: what they give, and whose fault it is when they do not."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streamapp.agents.batch_processor import BatchDataInput, BatchDataOutput
from streamapp.agents.data_transformer import TransformationInput, TransformationOutput
from streamapp.agents.stream_processor import StreamDataInput, StreamDataOutput
from streamapp.clock import clock_in_use
from streamapp.errors import ConfigurationError, Permanent, ServiceError
from streamapp.observability.exception_text import describe_exception
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.fault import Fault, whose_fault
from streamapp.policies.policy import retry
from streamapp.registry.definition import read_definition
from streamapp.registry.instantiate import make_agent
from streamapp.registry.registry import AgentRegistry
from streamapp.testing import PipelineDriver
from streamapp.topics.topic import Topic
from tests.hand_clock import HandClock
from tests.patience import eventually
from tests.unit.agents.completions import asked, completion, giving
from tests.unit.agents.services import (
    Answer,
    Service,
    answering,
    breaking_off,
    hanging,
    opened,
    serving,
)

pytestmark = pytest.mark.ai

INPUT = StreamDataInput(data={"title": "alien"})
OUTPUT = {"data": {"title": "Alien"}, "notes": ["capital letter"]}


def _definition(agent_id: str, **configuration: Any) -> dict[str, Any]:
    module, class_, taken, given = {
        "stream_processor": (
            "stream_processor",
            "StreamProcessorAgent",
            "StreamDataInput",
            "StreamDataOutput",
        ),
        "batch_processor": (
            "batch_processor",
            "BatchProcessorAgent",
            "BatchDataInput",
            "BatchDataOutput",
        ),
        "data_transformer": (
            "data_transformer",
            "DataTransformationAgent",
            "TransformationInput",
            "TransformationOutput",
        ),
    }[agent_id]
    return {
        "agent_id": agent_id,
        "agent_class": class_,
        "module_path": f"streamapp.agents.{module}",
        "input_schema": taken,
        "output_schema": given,
        "configuration": configuration,
    }


def _agent(agent_id: str, service: Service | None = None, **configuration: Any) -> Any:
    registry = AgentRegistry(["streamapp.agents"])
    provider: dict[str, Any] = configuration.pop("provider", {})
    if service is not None:
        local = {"base_url": f"{service.url}/v1", "key_from_environment": None}
        provider = {**local, **provider}
    registry.register(read_definition(_definition(agent_id, provider=provider, **configuration)))
    return make_agent(registry, agent_id)


async def _failure(answer: Answer, **configuration: Any) -> tuple[Exception, Any]:
    """What a call fails with, and the usage of the agent."""
    async with serving(answer) as service:
        agent = _agent("stream_processor", service, **configuration)
        async with opened(agent):
            with pytest.raises((Permanent, ServiceError)) as raised:
                await agent(INPUT)
            told = describe_exception(raised.value)
            assert "alien" not in told.lower(), "what was asked or answered is told"
            return raised.value, agent.function.usage


async def test_a_model_works_on_each_object() -> None:
    async with serving(giving(OUTPUT)) as service:
        agent = _agent("stream_processor", service, instructions="Mend the titles.")
        async with opened(agent):
            assert await agent(INPUT) == StreamDataOutput.model_validate(OUTPUT)
        request = service.bodies[0]
        assert asked(service) == {"data": {"title": "alien"}}
        assert request["model"] == "gpt-4o-mini"
        assert request["temperature"] == 0.1
        assert request["messages"][0] == {"role": "system", "content": "Mend the titles."}
        assert "max_tokens" not in request
        usage = agent.function.usage
        assert (usage.calls, usage.requests) == (1, 1)
        assert (usage.input_tokens, usage.output_tokens) == (11, 7)


async def test_nothing_of_a_record_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serving(giving(OUTPUT)) as service:
            agent = _agent("stream_processor", service)
            async with opened(agent):
                await agent(INPUT)
    assert "alien" not in caplog.text.lower()
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


async def test_model_temperature_and_key_come_from_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", "abc")
    async with serving(giving(OUTPUT)) as service:
        agent = _agent(
            "stream_processor",
            service,
            model="other",
            temperature=1,
            max_output_tokens=99,
            provider={"key_from_environment": "SOME_KEY"},
        )
        async with opened(agent):
            await agent(INPUT)
        request = service.bodies[0]
        assert (request["model"], request["temperature"]) == ("other", 1)
        assert 99 in (request.get("max_tokens"), request.get("max_completion_tokens"))
        assert service.headers["Authorization"] == "Bearer abc"


async def test_a_provider_without_its_key_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    agent = _agent("stream_processor")
    with pytest.raises(ConfigurationError, match="the variable OPENAI_API_KEY is not set"):
        await agent.lifecycle.open()
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "/nowhere")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY_FILE names a file that cannot"):
        await agent.lifecycle.open()


async def test_the_key_of_a_provider_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "key").write_text("abc\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    async with serving(giving(OUTPUT)) as service:
        key = {"key_from_environment": "OPENAI_API_KEY"}
        agent = _agent("stream_processor", service, provider=key)
        async with opened(agent):
            await agent(INPUT)
        assert service.headers["Authorization"] == "Bearer abc"


async def test_a_batch_has_one_object_for_each() -> None:
    items = [{"n": 1}, {"n": 2}]
    short, full = {"items": items[:1]}, {"items": items, "summary": "two"}
    async with serving(giving(short, full)) as service:
        agent = _agent("batch_processor", service)
        async with opened(agent):
            found = await agent(BatchDataInput(items=items))
        assert found == BatchDataOutput(items=items, summary="two")
        assert service.bodies[0]["model"] == "gpt-4o"
        assert service.bodies[0]["temperature"] == 0
        assert "give 2 items, not 1" in str(service.bodies[1]["messages"])


SCHEMA: dict[str, Any] = {"type": "object", "required": ["year"]}


@pytest.mark.parametrize("in_input", [True, False])
async def test_a_transformed_object_fits_its_schema(*, in_input: bool) -> None:
    wrong, right = {"data": {"jahr": 1979}}, {"data": {"year": 1979}}
    async with serving(giving(wrong, right)) as service:
        configuration = {} if in_input else {"target_schema": SCHEMA}
        agent = _agent("data_transformer", service, **configuration)
        value = TransformationInput(
            data={"Jahr": "1979"}, target_schema=SCHEMA if in_input else None
        )
        async with opened(agent):
            assert await agent(value) == TransformationOutput.model_validate(right)
        assert asked(service) == {"data": {"Jahr": "1979"}, "target_schema": SCHEMA}
        assert "is a required property" in str(service.bodies[1]["messages"])


async def test_a_schema_that_is_none_is_the_records_fault() -> None:
    async with serving(giving({"data": {}})) as service:
        agent = _agent("data_transformer", service)
        async with opened(agent):
            with pytest.raises(Permanent, match="target_schema: it is no JSON schema"):
                await agent(TransformationInput(data={}, target_schema={"type": "x"}))
            assert await agent(TransformationInput(data={})) == TransformationOutput(data={})
        assert len(service.bodies) == 1


@pytest.mark.parametrize("output", ['{"data":', '{"date": "alien"}', '{"data": 3}'])
async def test_an_output_that_never_fits_is_the_records_fault(output: str) -> None:
    error, usage = await _failure(giving(output), output_retries=1)
    assert whose_fault(error) is Fault.RECORD
    assert str(error).startswith("the model gave no output that fits")
    assert (usage.requests, usage.refused, usage.outages) == (2, 1, 0)
    assert usage.input_tokens == 22, "tokens of a failed call are counted, too"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": {"code": "context_length_exceeded", "message": "alien"}}'),
        (413, b"{}"),
        (422, b"{}"),
    ],
)
async def test_a_value_that_the_provider_refuses_is_the_records_fault(
    status: int, body: bytes
) -> None:
    error, usage = await _failure(answering(status, body))
    assert whose_fault(error) is Fault.RECORD
    assert str(error) == f"the model does not take the value: status {status}"
    assert (usage.refused, usage.outages) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(429, b"{}"), "status 429"),
        (answering(500, b"alien"), "status 500"),
        (answering(503, b"{}"), "status 503"),
        (answering(401, b"{}"), "status 401"),
        (answering(403, b"{}"), "status 403"),
        (answering(404, b"{}"), "status 404"),
        (answering(408, b"{}"), "status 408"),
        (answering(200, b'{"broken'), "no completion"),
        (answering(200, b"<html>"), "no completion"),
        (answering(200, b"{}"), "no completion"),
        (breaking_off, "ModelConnectionError"),
        (hanging, "did not answer within 0.5 s"),
    ],
)
async def test_a_provider_that_fails_is_the_worlds_fault(answer: Answer, why: str) -> None:
    error, usage = await _failure(answer, timeout_seconds=0.5 if answer is hanging else 30)
    assert whose_fault(error) is Fault.WORLD
    assert why in str(error)
    assert (usage.refused, usage.outages) == (0, 1)


async def test_a_broken_answer_to_a_correction_is_the_worlds_fault() -> None:
    bodies = [completion("{"), {}]

    async def answer(_service: Service, _request: web.Request) -> web.Response:
        return web.json_response(bodies.pop(0))

    error, usage = await _failure(answer)
    assert whose_fault(error) is Fault.WORLD
    assert usage.outages == 1


async def test_a_provider_that_is_gone_is_the_worlds_fault() -> None:
    async with serving(giving(OUTPUT)) as service:
        pass
    agent = _agent("stream_processor", service)
    async with opened(agent):
        with pytest.raises(ServiceError, match="ModelConnectionError"):
            await agent(INPUT)


async def test_a_provider_may_ask_to_be_left_alone() -> None:
    error, _ = await _failure(answering(429, b"{}", {"Retry-After": "7"}))
    assert isinstance(error, ServiceError)
    assert error.retry_after == 7


async def test_a_failed_request_is_made_once_and_left_to_the_policy() -> None:
    async with serving(answering(500, b"{}")) as service:
        agent = _agent("stream_processor", service)
        async with opened(agent):
            with pytest.raises(ServiceError):
                await agent(INPUT)
        assert len(service.paths) == 1


@pytest.mark.parametrize("limit", [{"calls_per_minute": 2}, {"tokens_per_minute": 36}])
async def test_no_more_is_asked_in_a_minute_than_the_provider_allows(limit: dict[str, int]) -> None:
    clock = HandClock()
    with clock_in_use(clock):
        async with serving(giving(OUTPUT)) as service:
            provider = {**limit, "max_wait_seconds": 59}
            agent = _agent("stream_processor", service, provider=provider)
            async with opened(agent):
                for seconds in (0, 10):
                    clock.advance(seconds)
                    await agent(INPUT)
                began = clock.monotonic()
                await agent(INPUT)
                assert clock.monotonic() == began + 50
                assert len(service.paths) == 3


async def test_agents_share_the_limits_of_their_provider() -> None:
    with clock_in_use(HandClock()):
        async with serving(giving(OUTPUT, {"data": {}})) as service:
            provider = {"calls_per_minute": 1}
            first = _agent("stream_processor", service, provider=provider)
            second = _agent("data_transformer", service, provider=provider)
            other = _agent("stream_processor", service, provider={"calls_per_minute": 2})
            async with opened(first), opened(second), opened(other):
                await first(INPUT)
                with pytest.raises(ServiceError, match="leaves no call"):
                    await second(TransformationInput(data={}))
                await other(INPUT)


async def test_a_long_wait_for_the_limit_is_the_worlds_fault_and_says_how_long() -> None:
    with clock_in_use(HandClock()):
        async with serving(giving(OUTPUT)) as service:
            agent = _agent("stream_processor", service, provider={"calls_per_minute": 1})
            async with opened(agent):
                await agent(INPUT)
                with pytest.raises(ServiceError, match="leaves no call for 60 s") as raised:
                    await agent(INPUT)
            assert raised.value.retry_after == 60
            assert len(service.paths) == 1


async def test_corrections_count_against_the_limit_of_calls() -> None:
    with clock_in_use(HandClock()):
        async with serving(giving("{", OUTPUT)) as service:
            agent = _agent("stream_processor", service, provider={"calls_per_minute": 2})
            async with opened(agent):
                await agent(INPUT)
                with pytest.raises(ServiceError, match="leaves no call"):
                    await agent(INPUT)


async def test_a_cancelled_call_leaves_nothing_running() -> None:
    async with serving(hanging) as service:
        agent = _agent("stream_processor", service)
        async with opened(agent):
            call = asyncio.create_task(agent(INPUT))
            await eventually(lambda: service.paths, seconds=30)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in left if "RequestHandler" not in repr(task)]


@pytest.mark.parametrize("agent_id", ["stream_processor", "data_transformer"])
async def test_the_provider_for_tests_asks_nobody(agent_id: str) -> None:
    agent = _agent(agent_id, provider={"kind": "test"})
    async with opened(agent):
        assert (await agent(agent.input_type(data={"a": 1}))).data is not None


async def test_it_works_in_a_pipeline_and_a_bad_output_costs_one_attempt() -> None:
    async with serving(giving(OUTPUT, "{")) as service:
        agent = _agent("stream_processor", service, output_retries=0)
        pipeline = (
            Pipeline("models", source=Topic("in", StreamDataInput))
            .stage(agent, on_error=retry(3), concurrency=1)
            .sink("out")
        )
        async with PipelineDriver(pipeline).start() as running:
            await running.send(INPUT)
            assert (await running.results()).outputs == [StreamDataOutput.model_validate(OUTPUT)]
            await running.send(INPUT)
            letters = (await running.results()).dead_letters()
            metrics = (await running.results()).metrics("stream_processor")
    assert [(letter.error, letter.attempts) for letter in letters] == [("Permanent", 1)]
    assert metrics.models["stream_processor"].failures == {"record": 1, "world": 0}
    assert metrics.models["stream_processor"].tokens == {"input": 22, "output": 14}
