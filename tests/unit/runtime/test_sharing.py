"""No value is shared: what one attempt, output or stage does to its value, no other one sees.

Each pipeline runs with a topic between its two stages and without one; the same comes out.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from streamapp.errors import Transient
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry, skip
from streamapp.topics.topic import Topic
from tests.unit.runtime.virtual import broker_with, in_virtual_time, service


class Order(BaseModel):
    net: int


@dataclass
class Account:
    net: int


class Fixed(BaseModel):
    model_config = ConfigDict(frozen=True)
    net: int


Results = dict[str, list[bytes | None]]


async def results(
    first: Agent[Any, Any],
    second: Agent[Any, Any],
    *values: bytes,
    fused: bool,
    policy: Policy | None = None,
    type_: Any = Order,
) -> Results:
    """What the stages write to the sink and to the dead letters of the second."""
    broker = await broker_with("in", "out", "p.one", "p.one.dlq", "p.two.dlq")
    await broker.write("in", *((b"k", value) for value in values))
    pipeline = (
        Pipeline("p", source=Topic("in", type_))
        .stage(first, name="one", on_error=dead_letter())
        .stage(second, name="two", fused=fused, on_error=policy or dead_letter())
        .sink("out")
    )
    stage = service(broker, build(pipeline))
    await stage.run(until_end=True)
    topics = ("out", "p.one.dlq", "p.two.dlq")
    return {topic: broker.values(topic) for topic in topics}


def passing(type_: Any, *, wait: bool = False) -> Agent[Any, Any]:
    if wait:

        async def later(value: Any) -> Any:
            return value

        return agent(input_type=type_, output_type=type_)(later)

    def same(value: Any) -> Any:
        return value

    return agent(input_type=type_, output_type=type_)(same)


def failing_once(type_: Any, change: Callable[[Any], None], *, fails: int) -> Agent[Any, Any]:
    """Changes its input in place, and fails the first times."""
    left = [fails]

    def tax(value: Any) -> Any:
        change(value)
        left[0] -= 1
        if left[0] >= 0:
            raise Transient("not yet")
        return value

    return agent(input_type=type_, output_type=type_)(tax)


def add_to_field(value: Any) -> None:
    value.net += 10


def add_to_item(value: Any) -> None:
    value["net"] += 10


KINDS = pytest.mark.parametrize(
    ("type_", "change"),
    [
        (Order, add_to_field),
        (Account, add_to_field),
        (dict, add_to_item),
        (dict[str, int], add_to_item),
        (Any, add_to_item),
    ],
    ids=["model", "dataclass", "dict", "typed dict", "any"],
)
FUSED = pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
WAITS = pytest.mark.parametrize("waits", [False, True], ids=["plain", "async"])
ONCE_MORE = retry(1, then=dead_letter(), backoff=Backoff(base_seconds=1))


@KINDS
@FUSED
@WAITS
@in_virtual_time
async def test_an_attempt_does_not_see_what_the_one_before_did_to_its_value(
    type_: Any, change: Callable[[Any], None], *, fused: bool, waits: bool
) -> None:
    found = await results(
        passing(type_, wait=waits),
        failing_once(type_, change, fails=1),
        b'{"net":100}',
        fused=fused,
        policy=ONCE_MORE,
        type_=type_,
    )
    assert found == {"out": [b'{"net":110}'], "p.one.dlq": [], "p.two.dlq": []}


@KINDS
@FUSED
@in_virtual_time
async def test_a_dead_letter_holds_what_the_stage_was_given_and_not_what_it_made_of_it(
    type_: Any, change: Callable[[Any], None], *, fused: bool
) -> None:
    found = await results(
        passing(type_),
        failing_once(type_, change, fails=9),
        b'{"net":100}',
        fused=fused,
        policy=ONCE_MORE,
        type_=type_,
    )
    assert found == {"out": [], "p.one.dlq": [], "p.two.dlq": [b'{"net":100}']}


@KINDS
@FUSED
@in_virtual_time
async def test_skip_passes_on_what_the_stage_was_given(
    type_: Any, change: Callable[[Any], None], *, fused: bool
) -> None:
    found = await results(
        passing(type_),
        failing_once(type_, change, fails=9),
        b'{"net":100}',
        fused=fused,
        policy=skip(),
        type_=type_,
    )
    assert found == {"out": [b'{"net":100}'], "p.one.dlq": [], "p.two.dlq": []}


@agent
def thrice(order: Order) -> Iterator[Order]:
    for _ in range(3):
        yield order
        order.net += 1


@agent
async def thrice_later(order: Order) -> AsyncIterator[Order]:
    for _ in range(3):
        yield order
        order.net += 1


@FUSED
@pytest.mark.parametrize("generator", [thrice, thrice_later], ids=lambda one: str(one.name))
@in_virtual_time
async def test_a_generator_writes_each_value_as_it_was_when_it_was_yielded(
    generator: Agent[Any, Any], *, fused: bool
) -> None:
    expected = [b'{"net":1}', b'{"net":2}', b'{"net":3}']
    found = await results(generator, passing(Order), b'{"net":1}', fused=fused)
    assert found["out"] == expected
    found = await results(passing(Order), generator, b'{"net":1}', fused=fused)
    assert found["out"] == expected


@agent
def twice_the_same(order: Order) -> list[Order]:
    return [order, order]


@agent
def twice_as_outs(order: Order) -> list[Out[Order]]:
    out = Out(order)
    return [out, out]


@FUSED
@pytest.mark.parametrize("giver", [twice_the_same, twice_as_outs], ids=lambda one: str(one.name))
@in_virtual_time
async def test_outputs_that_are_one_object_are_two_for_the_next_stage(
    giver: Agent[Any, Any], *, fused: bool
) -> None:
    found = await results(
        giver, failing_once(Order, add_to_field, fails=0), b'{"net":1}', fused=fused
    )
    assert found["out"] == [b'{"net":11}', b'{"net":11}']


@FUSED
@in_virtual_time
async def test_a_value_that_a_stage_keeps_and_gives_again_is_another_one_for_the_next(
    *, fused: bool
) -> None:
    kept = Order(net=0)

    @agent
    def keep(_order: Order) -> Order:
        return kept

    found = await results(
        keep, failing_once(Order, add_to_field, fails=0), b'{"net":1}', b'{"net":1}', fused=fused
    )
    assert found["out"] == [b'{"net":10}', b'{"net":10}']


@FUSED
@in_virtual_time
async def test_what_cannot_be_written_is_a_failure_of_the_stage_that_gave_it(
    *, fused: bool
) -> None:
    @agent
    def spoil(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "it": object()}

    found = await results(
        spoil, passing(dict[str, Any]), b'{"net":1}', fused=fused, type_=dict[str, Any]
    )
    assert found == {"out": [], "p.one.dlq": [b'{"net":1}'], "p.two.dlq": []}


@FUSED
@in_virtual_time
async def test_what_the_next_stage_cannot_read_becomes_its_dead_letter(*, fused: bool) -> None:
    @agent(input_type=dict, output_type=Any)
    def loosen(value: Any) -> Any:
        return value

    found = await results(
        loosen, passing(Order), b'{"net":"x"}', b'{"net":1}', fused=fused, type_=dict
    )
    assert found == {"out": [b'{"net":1}'], "p.one.dlq": [], "p.two.dlq": [b'{"net":"x"}']}


@pytest.mark.parametrize(
    ("type_", "value", "is_shared"),
    [(bytes, b"x", True), (Fixed, b'{"net":1}', True), (Order, b'{"net":1}', False)],
    ids=["bytes", "frozen", "not frozen"],
)
@WAITS
@in_virtual_time
async def test_only_a_value_that_never_changes_is_handed_over_as_it_is(
    type_: Any, value: bytes, *, is_shared: bool, waits: bool
) -> None:
    seen: list[Any] = []

    async def later(one: Any) -> Any:
        seen.append(one)
        return one

    def note(one: Any) -> Any:
        seen.append(one)
        return one

    step = agent(input_type=type_, output_type=type_)(later if waits else note)
    await results(step, step, value, fused=True, type_=type_)
    given, taken = seen
    assert (given is taken) is is_shared
    assert given == taken
