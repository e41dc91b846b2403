"""What a dead letter holds, and what is logged of its cause."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import BaseModel

from streamapp.errors import Permanent
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry
from streamapp.record import CONTEXT_HEADER, Headers, Record
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service

AS_READ: Headers = [("trace", b"as read")]


class Order(BaseModel):
    price: int
    paid: bool


def own_headers(letter: Record) -> Headers:
    """Headers of the failed value."""
    ours = ("streamapp.error.", CONTEXT_HEADER)
    return [header for header in letter.headers if not header[0].startswith(ours)]


@agent
def rename(value: bytes) -> Out[bytes]:
    return Out(value + b" renamed", key="new", headers=[("made", b"by the first")])


@agent
def twice(value: bytes) -> list[Out[bytes]]:
    return [
        Out(value + b" kept"),
        Out(value + b" changed", key=None, headers=[("made", b"by the second")]),
    ]


@agent
def refuse(value: bytes) -> bytes:
    raise Permanent(value.decode())


async def letters_of(
    *steps: Agent[bytes, bytes],
) -> list[tuple[bytes | None, bytes | None, Headers]]:
    """Key, value and headers of the dead letters of the last of these fused steps."""
    names = [f"p.{step.name}.dlq" for step in steps]
    broker = await broker_with("in", "out", *names)
    first, *others = steps
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(first, on_error=dead_letter())
    for step in others:
        pipeline = pipeline.stage(step, fused=True, on_error=dead_letter())
    await broker.write("in", (b"old", b"1"), headers=AS_READ)
    stage = service(broker, build(pipeline.sink("out")))
    await stage.run(until_end=True)
    letters = broker.records(names[-1])
    return [(letter.key, letter.value, own_headers(letter)) for letter in letters]


@in_virtual_time
async def test_a_dead_letter_of_a_fused_stage_has_key_value_and_headers_of_its_own_input() -> None:
    made: Headers = [("made", b"by the first")]
    assert await letters_of(refuse) == [(b"old", b"1", AS_READ)]
    assert await letters_of(same, refuse) == [(b"old", b"1", AS_READ)]
    assert await letters_of(rename, refuse) == [(b"new", b"1 renamed", made)]
    assert await letters_of(rename, twice, refuse) == [
        (b"new", b"1 renamed kept", made),
        (None, b"1 renamed changed", [("made", b"by the second")]),
    ]
    assert await letters_of(rename, same, refuse) == [(b"new", b"1 renamed", made)]


@in_virtual_time
async def test_the_first_failure_is_told_with_its_own_time_and_so_is_the_last() -> None:
    broker = await broker_for("p")
    at: list[float] = []

    @agent
    def fail(_value: bytes) -> bytes:
        at.append(broker.clock.time())
        raise OSError

    backoff = Backoff(base_seconds=4, factor=2, max_seconds=60)
    async with running(service(broker, one_stage(fail, retry(2, backoff=backoff), breaker=None))):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: bool(broker.values("p.stage.dlq")), seconds=60)
    facts = error_headers(broker.records("p.stage.dlq")[0])
    assert facts["attempts"] == "3"
    assert (facts["first_failure"], facts["last_failure"]) == (
        milliseconds(at[0]),
        milliseconds(at[2]),
    )
    assert at[2] - at[0] >= 12


@in_virtual_time
async def test_the_first_failure_of_a_fused_stage_is_not_that_of_the_stage_before_it() -> None:
    broker = await broker_with("in", "out", "p.first.dlq", "p.second.dlq")
    at: dict[str, list[float]] = {"first": [], "second": []}

    @agent(name="first")
    def fail_once(value: bytes) -> bytes:
        at["first"].append(broker.clock.time())
        if len(at["first"]) == 1:
            raise OSError
        return value

    @agent(name="second")
    def fail(_value: bytes) -> bytes:
        at["second"].append(broker.clock.time())
        raise OSError

    patient = retry(1, backoff=Backoff(base_seconds=5))
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(fail_once, on_error=patient)
    pipeline = pipeline.stage(fail, fused=True, on_error=patient).sink("out")
    await broker.write("in", (b"k", b"1"))
    await service(broker, build(pipeline)).run(until_end=True)
    facts = error_headers(broker.records("p.second.dlq")[0])
    assert facts["first_failure"] == milliseconds(at["second"][0])
    assert facts["last_failure"] == milliseconds(at["second"][1])
    assert facts["attempts"] == "2"


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [("fails, hangs", "timeout"), ("hangs, fails", "exhausted"), ("hangs, hangs", "timeout")],
)
@in_virtual_time
async def test_the_reason_after_retries_is_timeout_when_the_last_attempt_timed_out(
    outcomes: str, reason: str
) -> None:
    broker = await broker_for("p")
    left = outcomes.split(", ")

    @agent
    async def fail(value: bytes) -> bytes:
        if left.pop(0) == "hangs":
            await asyncio.Event().wait()
        raise OSError(value)

    await broker.write("p-in", (b"k", b"1"))
    stage = service(broker, one_stage(fail, retry(1), timeout_seconds=2))
    await stage.run(until_end=True)
    assert error_headers(broker.records("p.stage.dlq")[0])["reason"] == reason
    told = {why.value: count for why, count in stage.metrics[0].dead_letters.items() if count}
    assert told == {reason: 1}
    assert stage.metrics[0].timeouts == outcomes.count("hangs")


def milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


@agent
def plain_that_fails(_value: bytes) -> bytes:
    raise ValueError("plain")


@agent
def plain_that_fails_elsewhere(value: bytes) -> bytes:
    return json.loads(value)[b"no such field"]  # type: ignore[no-any-return]  # never returns


@agent
async def async_that_fails(value: bytes) -> bytes:
    await asyncio.sleep(0.01)
    raise ValueError(value.decode())


@agent
async def async_that_fails_at_once(value: bytes) -> bytes:
    raise ValueError(value.decode())


@agent
def iterator_that_fails(value: bytes) -> Iterator[bytes]:
    yield value
    raise ValueError("iterator")


@agent
async def async_iterator_that_fails(value: bytes) -> AsyncIterator[bytes]:
    yield value
    raise ValueError("async iterator")


@agent(blocking=True)
def thread_that_fails(_value: bytes) -> bytes:
    raise ValueError("thread")


@pytest.mark.parametrize(
    "step",
    [
        plain_that_fails,
        plain_that_fails_elsewhere,
        async_that_fails,
        async_that_fails_at_once,
        iterator_that_fails,
        async_iterator_that_fails,
        thread_that_fails,
    ],
    ids=lambda step: step.function.__name__,
)
@pytest.mark.parametrize("policy", [dead_letter(), retry(1)], ids=["at once", "retried"])
@in_virtual_time
async def test_the_log_names_the_function_of_the_agent_that_raised_it(
    step: Agent[bytes, bytes], policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1"))
    with caplog.at_level(logging.WARNING, "streamapp.runtime.failures"):
        await service(broker, one_stage(step, policy)).run(until_end=True)
    [line] = [text for text in caplog.messages if "first dead letter with this cause" in text]
    assert line.endswith(f" at test_letters.py:{step.function.__name__}")
    told = error_headers(broker.records("p.stage.dlq")[0])
    assert f", {told['fingerprint']}) goes to" in line
    assert told["place"] == f"test_letters.py:{step.function.__name__}"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b'{"price": "secret", "paid": []}', "paid: bool_type; price: int_parsing"),
        (b'{"price": ', "value: json_invalid EOF while parsing a value"),
        (None, "value: there is none (a tombstone)"),
    ],
    ids=["fields", "no JSON", "no value"],
)
@in_virtual_time
async def test_the_place_of_a_value_that_does_not_fit_are_its_fields_without_their_values(
    value: bytes | None, place: str
) -> None:
    @agent
    def pay(order: Order) -> bytes:
        return f"{order}".encode()

    broker = await broker_for("p")
    await broker.write("p-in", (b"k", value))
    pipeline = Pipeline("p", source=Topic("p-in", Order)).stage(pay, name="stage")
    await service(broker, build(pipeline.sink(Topic("p-out", bytes)))).run(until_end=True)
    assert error_headers(broker.records("p.stage.dlq")[0])["place"] == place


@in_virtual_time
async def test_a_fingerprint_tells_functions_and_classes_apart_and_not_messages() -> None:
    @agent
    def fail(value: bytes) -> bytes:
        kind, _, text = value.partition(b" ")
        if kind == b"elsewhere":
            return elsewhere(text)
        raise {b"value": ValueError, b"key": KeyError}[kind](text)

    def elsewhere(text: bytes) -> bytes:
        raise ValueError(text)

    found = await fingerprints(fail, b"value 1", b"value 2", b"key 1", b"elsewhere 1")
    assert found[0] == found[1]
    assert len(set(found)) == 3


async def fingerprints(step: Agent[bytes, bytes], *values: bytes) -> list[str]:
    broker: FaultyBroker = await broker_for("p")
    await broker.write("p-in", *((b"k", value) for value in values))
    await service(broker, one_stage(step)).run(until_end=True)
    return [error_headers(letter)["fingerprint"] for letter in broker.records("p.stage.dlq")]


@in_virtual_time
async def test_an_item_of_a_batch_has_failed_when_its_call_ended() -> None:
    @batch_agent(size=2)
    async def first(values: list[bytes]) -> list[bytes | Exception]:
        await asyncio.sleep(3)
        return [value if value == b"good" else Permanent("no") for value in values]

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(20)
        return value

    broker = await broker_for("p")
    pipeline = Pipeline("p", source=Topic("p-in", bytes)).stage(first, name="stage")
    fused = build(pipeline.stage(slow, name="slow", fused=True).sink("p-out"))
    await broker.create("p.slow.dlq")
    async with running(service(broker, fused)):
        await broker.write("p-in", (b"a", b"good"), (b"b", b"bad"))
        await until(lambda: bool(broker.values("p.stage.dlq")), seconds=60)
    [letter] = broker.records("p.stage.dlq", 0)
    headers, began = error_headers(letter), broker.records("p-in", 0)[0].timestamp
    times = int(headers["first_failure"]), int(headers["last_failure"])
    assert times == (began + 3000, began + 3000)
