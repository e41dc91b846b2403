"""Tombstones go through every kind of stage as they are, where the types say that they may come."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import Policy, dead_letter, retry, skip
from streamapp.record import Headers
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.faults import FaultyBroker
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service

TRACE: Headers = [("trace", b"1")]
Pair = tuple[bytes | None, bytes | None]


class Item(BaseModel):
    n: int


class Fixed(BaseModel, frozen=True):
    n: int


def plain(change: Callable[[Any], Any]) -> Any:
    return change


def at_once(change: Callable[[Any], Any]) -> Any:
    async def work(value: Any) -> Any:
        return change(value)

    return work


def waiting(change: Callable[[Any], Any]) -> Any:
    async def work(value: Any) -> Any:
        await asyncio.sleep(0.001)
        return change(value)

    return work


def with_context(change: Callable[[Any], Any]) -> Any:
    def work(value: Any, _context: Context) -> Any:
        return change(value)

    return work


def as_list(change: Callable[[Any], Any]) -> Any:
    def work(value: Any) -> Any:
        return [change(value)]

    return work


def generated(change: Callable[[Any], Any]) -> Any:
    def work(value: Any) -> Iterator[Any]:
        yield change(value)

    return work


def generated_later(change: Callable[[Any], Any]) -> Any:
    async def work(value: Any) -> AsyncIterator[Any]:
        yield change(value)

    return work


SHAPES = (plain, at_once, waiting, with_context, as_list, generated, generated_later)
TYPES = (Item | None, Fixed | None, dict | None, Any | None, Item | Fixed | None)
DATA: list[Pair] = [(b"a", b'{"n":1}'), (b"a", None), (b"b", None), (b"b", b'{"n":2}')]


async def run(
    *steps: tuple[Agent[Any, Any], Policy],
    data: Sequence[Pair] = tuple(DATA),
    fused: bool = False,
    source: Any = Any,
) -> FaultyBroker:
    """Run these stages over records of the topic `in`; the last one writes to `out`."""
    names = [str(step.name) for step, _ in steps]
    topics = [f"p.{name}" for name in names] + [f"p.{name}.dlq" for name in names]
    broker = await broker_with("in", "out", *topics)
    await broker.write("in", *data, headers=TRACE)
    pipeline: Pipeline[Any, Any] = Pipeline("p", source=Topic("in", source))
    for i, (step, policy) in enumerate(steps):
        pipeline = pipeline.stage(step, on_error=policy, fused=fused and i > 0)
    await service(broker, build(pipeline.sink("out"))).run(until_end=True)
    return broker


def records(broker: FaultyBroker, topic: str) -> list[Pair]:
    return [(record.key, record.value) for record in broker.records(topic)]


def by_key(found: Sequence[Pair]) -> list[Pair]:
    """In the order of each key; what waits lets others overtake."""
    return sorted(found, key=lambda pair: pair[0] or b"")


def passed(value: Any) -> Out[Any]:
    return Out(value)


def passing(type_: Any, name: str, shape: Callable[..., Any]) -> Agent[Any, Any]:
    made = agent(name=name, input_type=type_, output_type=type_)
    return made(shape(passed))


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("type_", TYPES, ids=str)
@in_virtual_time
async def test_what_an_agent_passes_on_is_what_was_read(
    type_: Any, shape: Callable[..., Any], *, fused: bool
) -> None:
    one, two = passing(type_, "one", shape), passing(type_, "two", shape)
    broker = await run((one, dead_letter()), (two, dead_letter()), fused=fused)
    assert by_key(records(broker, "out")) == DATA
    assert all(list(record.headers) == TRACE for record in broker.records("out"))
    assert broker.values("p.one.dlq") == broker.values("p.two.dlq") == []


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("type_", TYPES, ids=str)
@in_virtual_time
async def test_null_in_json_fails_to_decode_and_becomes_no_tombstone(
    type_: Any, shape: Callable[..., Any], *, fused: bool
) -> None:
    one, two = passing(type_, "one", shape), passing(type_, "two", shape)
    data = [(b"k", b"null"), (b"k", None)]
    broker = await run((one, dead_letter()), (two, dead_letter()), fused=fused, data=data)
    assert records(broker, "out") == [(b"k", None)]
    [letter] = broker.records("p.one.dlq")
    assert (letter.value, error_headers(letter)["reason"]) == (b"null", "decode")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("type_", [Item, dict, Any, bytes], ids=str)
@in_virtual_time
async def test_others_have_tombstones_as_dead_letters(
    type_: Any, shape: Callable[..., Any]
) -> None:
    made = agent(name="one", input_type=type_, output_type=type_)(shape(lambda value: value))
    broker = await run((made, retry(3)), data=[*DATA, (None, None)])
    assert by_key(records(broker, "out")) == [DATA[0], DATA[3]]
    assert by_key(records(broker, "p.one.dlq")) == [(None, None), DATA[1], DATA[2]]
    for letter in broker.records("p.one.dlq"):
        facts = error_headers(letter)
        assert (facts["class"], facts["reason"]) == ("DecodeError", "decode")
        assert facts["message"].startswith("the record has no value (a tombstone)")


def keyed(value: Item | None) -> Out[Item | None]:
    return Out(None, key="other") if value is None else Out(value)


def without_key(value: Item | None) -> Out[Item | None]:
    return Out(value, key=None)


@agent(name="two")
def count(value: Item | None) -> Item:
    return Item(n=0 if value is None else value.n)


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@in_virtual_time
async def test_a_tombstone_may_have_another_key_and_is_none_for_the_next_agent(
    *, fused: bool
) -> None:
    one = agent(name="one")(keyed)
    broker = await run((one, dead_letter()), (count, dead_letter()), fused=fused)
    zero = (b"other", b'{"n":0}')
    assert records(broker, "out") == [(b"a", b'{"n":1}'), zero, zero, (b"b", b'{"n":2}')]


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("wrapped", [without_key, as_list(without_key), generated(without_key)])
@in_virtual_time
async def test_a_tombstone_without_a_key_is_the_fault_of_its_record(
    wrapped: Any, *, fused: bool
) -> None:
    one = agent(name="one", input_type=Item | None, output_type=Item | None)(wrapped)
    broker = await run((one, retry(3)), (count, dead_letter()), fused=fused)
    assert records(broker, "out") == [(None, b'{"n":1}'), (None, b'{"n":2}')]
    letters = broker.records("p.one.dlq")
    assert [(letter.key, letter.value) for letter in letters] == [(b"a", None), (b"b", None)]
    for letter in letters:
        facts = error_headers(letter)
        assert (facts["class"], facts["reason"], facts["attempts"]) == (
            "EncodeError",
            "output",
            "1",
        )
        assert facts["message"].startswith("a tombstone has no key, so it deletes nothing")


@in_virtual_time
async def test_an_agent_gets_tombstones_without_a_key_and_cannot_pass_them_on() -> None:
    one = passing(Item | None, "one", plain)
    broker = await run((one, dead_letter()), data=[(None, None), (b"k", None)])
    assert records(broker, "out") == [(b"k", None)]
    [letter] = broker.records("p.one.dlq")
    assert (letter.key, letter.value, error_headers(letter)["reason"]) == (None, None, "output")


def failing(name: str, type_: Any = Item | None) -> Agent[Any, Any]:
    def fail(value: Any) -> Any:
        raise ValueError(f"no {value}")

    return agent(name=name, input_type=type_, output_type=type_)(fail)


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@in_virtual_time
async def test_a_skipped_tombstone_flows_on_as_it_is(*, fused: bool) -> None:
    one, two = failing("one"), failing("two")
    broker = await run((one, skip()), (two, skip()), fused=fused)
    assert records(broker, "out") == DATA
    one = failing("one")
    broker = await run((one, skip()), (count, dead_letter()), data=[(b"k", None), (None, None)])
    assert records(broker, "out") == [(b"k", b'{"n":0}')]
    assert records(broker, "p.one.dlq") == [(None, None)]


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("type_", [Item | None, Fixed | None, dict | None], ids=str)
@in_virtual_time
async def test_the_dead_letter_of_a_tombstone_has_no_value(type_: Any, *, fused: bool) -> None:
    one = passing(type_, "one", plain)
    broker = await run((one, dead_letter()), (failing("two", type_), dead_letter()), fused=fused)
    assert records(broker, "p.two.dlq") == DATA
    assert all(error_headers(letter)["stage"] == "two" for letter in broker.records("p.two.dlq"))


@in_virtual_time
async def test_out_none_of_an_agent_that_declares_no_tombstones_is_not_written() -> None:
    @agent(name="one")
    def careless(value: Item | None) -> Out[Item]:
        return Out(value)  # type: ignore[arg-type]  # a type checker sees it

    broker = await run((careless, retry(3)))
    assert records(broker, "out") == [DATA[0], DATA[3]]
    letters = broker.records("p.one.dlq")
    assert [(letter.key, letter.value) for letter in letters] == [(b"a", None), (b"b", None)]
    assert all("tombstone" in error_headers(letter)["message"] for letter in letters)


@in_virtual_time
async def test_a_tombstone_that_is_returned_as_none_is_filtered() -> None:
    @agent(name="one")
    def returned(value: Item | None) -> Item | None:
        return value

    broker = await run((returned, dead_letter()))
    assert records(broker, "out") == [DATA[0], DATA[3]]
