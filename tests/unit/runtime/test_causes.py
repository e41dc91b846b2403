"""A failure is told by what caused it: inside a group, in the bytes, or in a letter sent again."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import Permanent
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, drop, retry, skip
from streamapp.record import CONTEXT_HEADER, Headers
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.agents import same
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service


class Line(BaseModel):
    title: str
    price: float


class Order(BaseModel):
    id: int
    lines: list[Line] = []


async def letters_of(
    step: Agent[Any, bytes],
    *values: bytes | None,
    policy: Policy | None = None,
    headers: Headers = (),
) -> list[dict[str, str]]:
    """The error headers of the dead letters of a stage that reads these values."""
    broker = await broker_for("p")
    await broker.write("p-in", *((b"k", value) for value in values), headers=headers)
    source: Topic[Any] = Topic("p-in", step.input_type)
    pipeline = Pipeline("p", source=source).stage(step, name="stage", on_error=policy)
    await service(broker, build(pipeline.sink("p-out"))).run(until_end=True)
    return [error_headers(letter) for letter in broker.records("p.stage.dlq")]


async def fail_with(error: Exception) -> None:
    raise error


@agent
async def fan_out(value: bytes) -> bytes:
    """Fail as an agent does that waits for several calls at once."""
    errors = {b"permanent": Permanent("no such title"), b"key": KeyError("no such region")}
    async with asyncio.TaskGroup() as calls:
        calls.create_task(fail_with(OSError("the other call")))
        calls.create_task(fail_with(errors[value]))
    return value


@in_virtual_time
async def test_a_permanent_error_in_a_task_group_is_not_retried() -> None:
    [letter] = await letters_of(fan_out, b"permanent", policy=retry(3))
    assert letter["attempts"] == "1"
    assert letter["reason"] == "permanent"
    assert (letter["class"], letter["message"]) == ("Permanent", "no such title")


@in_virtual_time
async def test_a_rule_for_an_exception_holds_for_one_in_a_task_group() -> None:
    assert await letters_of(fan_out, b"key", policy=retry(3).on({KeyError: drop()})) == []


@in_virtual_time
async def test_the_message_of_a_group_is_that_of_the_error_in_it() -> None:
    [letter] = await letters_of(fan_out, b"key", policy=retry(1))
    assert (letter["class"], letter["message"]) == ("KeyError", "'no such region'")
    assert letter["attempts"] == "2"


@agent
def take(order: Order) -> bytes:
    return str(order.id).encode()


@agent(input_type=dict, output_type=bytes)
def take_any(value: dict[str, Any]) -> bytes:
    return str(value).encode()


CAUSES: list[bytes | None] = [
    b"",
    None,
    b"{",
    b'{"id":"x"}',
    b"{}",
    b"[]",
    b'{"id":1,"lines":[{"title":"a"}]}',
    b'{"id":1,"lines":[{"title":1,"price":1}]}',
]


@in_virtual_time
async def test_each_cause_of_bytes_that_do_not_decode_has_a_fingerprint_of_its_own() -> None:
    letters = await letters_of(take, *CAUSES)
    assert len({letter["fingerprint"] for letter in letters}) == len(CAUSES)


@in_virtual_time
async def test_causes_are_told_apart_without_a_schema_too() -> None:
    letters = await letters_of(take_any, b"", None, b"{", b'{"a" 1}')
    assert len({letter["fingerprint"] for letter in letters}) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"id":"x"}', b'{"id":"another"}'),
        (b'{"id":1', b'{"id":12345'),
        (
            b'{"id":1,"lines":[{"title":"a"}]}',
            b'{"id":2,"lines":[{"title":"a","price":1},{"title":"b"}]}',
        ),
    ],
)
@in_virtual_time
async def test_the_same_cause_in_other_bytes_has_the_same_fingerprint(
    one: bytes, other: bytes
) -> None:
    letters = await letters_of(take, one, other)
    assert len({letter["fingerprint"] for letter in letters}) == 1


@agent
def rekey(value: bytes) -> Out[bytes]:
    return Out(value, key="\ud800")


@agent
def rekey_twice(value: bytes) -> list[Out[bytes]]:
    return [Out(value), Out(value, key="\ud800")]


@pytest.mark.parametrize("step", [rekey, rekey_twice], ids=["alone", "in a list"])
@in_virtual_time
async def test_a_key_that_is_no_unicode_is_a_wrong_output(step: Agent[bytes, bytes]) -> None:
    [letter] = await letters_of(step, b"1", policy=retry(3))
    assert (letter["reason"], letter["attempts"]) == ("output", "1")
    assert letter["message"] == "the key of an output cannot be UTF-8"


@agent
def refuse(value: bytes) -> bytes:
    raise Permanent(value.decode())


@in_virtual_time
async def test_a_letter_sent_again_has_the_error_headers_of_its_last_failure_only() -> None:
    broker = await broker_for("p")
    stage = one_stage(refuse)
    await broker.write("p-in", (b"k", b"1"), headers=[("trace", b"as read")])
    for round_ in range(3):
        await service(broker, stage).run(until_end=True)
        letter = broker.records("p.stage.dlq")[round_]
        names = [name for name, _ in letter.headers]
        assert len(names) == len(set(names))
        assert names[0] == "trace"
        assert error_headers(letter)["offset"] == str(round_)
        await broker.write("p-in", (letter.key, letter.value or b""), headers=letter.headers)


@agent
def same_with_a_key(value: bytes) -> Out[bytes]:
    return Out(value, key=b"new")


@agent
def same_in_a_list(value: bytes) -> list[bytes]:
    return [value]


@pytest.mark.parametrize(
    ("step", "policy"),
    [
        (same, dead_letter()),
        (same_with_a_key, dead_letter()),
        (same_in_a_list, dead_letter()),
        (refuse, skip()),
        (refuse, retry(1, then=skip(), backoff=Backoff(base_seconds=1))),
    ],
    ids=["plain", "another key", "a list", "skip", "retries and skip"],
)
@in_virtual_time
async def test_an_output_of_a_letter_sent_again_has_no_error_headers(
    step: Agent[bytes, bytes], policy: Policy
) -> None:
    broker = await broker_for("p")
    sent_again: Headers = [
        ("streamapp.error.class", b"ValueError"),
        ("trace", b"as read"),
        ("streamapp.error.message", b"once"),
    ]
    await broker.write("p-in", (b"k", b"1"), headers=sent_again)
    await service(broker, one_stage(step, policy)).run(until_end=True)
    [output] = broker.records("p-out")
    headers = [header for header in output.headers if header[0] != CONTEXT_HEADER]
    assert headers == [("trace", b"as read")]
