"""Values and exceptions of a user's own making: their record fails, and the worker goes on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.out import Out
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.policy import dead_letter
from streamapp.record import Headers
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.test_faults import broker_for, topology


class UnhashableKey(bytes):
    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class KeyThatEncodesOddly(str):
    __slots__ = ()

    def encode(self, _encoding: str = "", _errors: str = "") -> bytes:
        return [self]  # type: ignore[return-value]  # what it is here for


class ErrorWithoutClass(Exception):  # noqa: N818 - it is odd in more than its name
    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            raise RuntimeError("no class")
        return super().__getattribute__(name)


class Abort(BaseException):
    """Not an `Exception`, as some libraries make them."""


def group_of_aborts() -> BaseException:
    return BaseExceptionGroup("several", [Abort()])


class Secretive(BaseModel):
    n: int

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            raise RuntimeError("nothing to see")
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    "key", [UnhashableKey(b"own"), KeyThatEncodesOddly("own")], ids=["bytes", "text"]
)
async def test_a_key_of_a_type_of_ones_own_is_its_bytes(key: bytes | str) -> None:
    broker = await broker_for("a")

    @agent
    def rekey(value: bytes) -> Out[bytes]:
        return Out(value, key=key)

    async with running(Service(broker, [topology("a", rekey)])) as task:
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: task.done() or broker.values("a-out") == [b"1"])
        assert not task.done()
    [record] = broker.records("a-out")
    assert type(record.key) is bytes
    assert record.key == b"own"


@pytest.mark.parametrize("make", [ErrorWithoutClass, Abort, group_of_aborts])
@pytest.mark.parametrize("suspends", [False, True])
async def test_whatever_an_agent_raises_is_its_records_failure(
    make: Callable[[], BaseException], *, suspends: bool
) -> None:
    broker = await broker_for("a")

    @agent
    async def raises(value: bytes) -> bytes:
        if suspends:
            await asyncio.sleep(0)
        if value == b"bad":
            raise make()
        return value

    async with running(Service(broker, [topology("a", raises)])) as task:
        await broker.write("a-in", (b"k", b"bad"), (b"k", b"good"))
        await until(lambda: task.done() or broker.values("a-out") == [b"good"])
        assert not task.done()
    assert broker.values("a.stage.dlq") == [b"bad"]


async def test_a_validator_that_exits_is_its_records_failure() -> None:
    broker = await broker_for("a")

    class Exits(BaseModel):
        n: int

        def model_post_init(self, _context: Any) -> None:
            if self.n == 0:
                raise SystemExit(3)

    @agent
    def same(value: Exits) -> Exits:
        return value

    pipeline = Pipeline("a", source=Topic("a-in", Exits)).stage(
        same, name="stage", on_error=dead_letter()
    )
    stage = build(pipeline.sink(Topic("a-out", Exits)))
    async with running(Service(broker, [stage])) as task:
        await broker.write("a-in", (b"k", b'{"n":0}'), (b"k", b'{"n":1}'))
        await until(lambda: task.done() or broker.values("a-out") == [b'{"n":1}'])
        assert not task.done()
    assert broker.values("a.stage.dlq") == [b'{"n":0}']


@pytest.mark.parametrize("in_batches", [False, True], ids=["one by one", "in batches"])
async def test_what_ends_a_coroutine_is_no_failure_of_a_record(*, in_batches: bool) -> None:
    broker = await broker_for("a")

    class Ends(BaseModel):
        n: int

        def model_post_init(self, _context: Any) -> None:
            if self.n == 1:
                raise GeneratorExit

    @agent
    def same(value: Ends) -> Ends:
        return value

    @batch_agent(size=2)
    async def same_in_batches(values: list[Ends]) -> list[Ends]:
        return values

    pipeline = Pipeline("a", source=Topic("a-in", Ends)).stage(
        same_in_batches if in_batches else same, name="stage", on_error=dead_letter()
    )
    stage = build(pipeline.sink(Topic("a-out", Ends)))
    await broker.write("a-in", (b"k", b'{"n":0}'), (b"l", b'{"n":1}'))
    with pytest.raises(BaseExceptionGroup) as raised:
        await Service(broker, [stage]).run(until_end=True)
    assert raised.group_contains(GeneratorExit)
    assert broker.values("a.stage.dlq") == []


async def test_a_model_that_hides_its_fields_ends_no_worker() -> None:
    broker = await broker_for("a")

    @agent
    def hide(value: bytes) -> Secretive:
        return Secretive(n=int(value))

    stage = build(
        Pipeline("a", source=Topic("a-in", bytes))
        .stage(hide, name="stage", on_error=dead_letter())
        .sink(Topic("a-out", Secretive))
    )
    async with running(Service(broker, [stage])) as task:
        await broker.write("a-in", (b"k", b"7"))
        await until(lambda: task.done() or bool(broker.values("a.stage.dlq")))
        assert not task.done()
    assert broker.values("a.stage.dlq") == [b"7"]


@pytest.mark.parametrize("headers", [[("\ud800", b"x")], [("name", "text")], [(1, b"x")], [("a",)]])
async def test_odd_headers_fail_where_they_are_given_and_not_in_the_step_behind(
    headers: Headers,
) -> None:
    broker = FaultyBroker()
    await broker.create("a-in", "a-out", "a.one.dlq", "a.two.dlq")

    @agent
    def one(value: bytes) -> Out[bytes]:
        return Out(value, headers=headers)

    @agent
    def two(value: bytes) -> bytes:
        raise Permanent(f"no {len(value)}")

    stages = build(
        Pipeline("a", source=Topic("a-in", bytes))
        .stage(one, name="one", on_error=dead_letter())
        .stage(two, name="two", on_error=dead_letter(), fused=True)
        .sink(Topic("a-out", bytes))
    )
    async with running(Service(broker, [stages])) as task:
        await broker.write("a-in", (b"k", b"1"))
        await until(lambda: task.done() or bool(broker.values("a.one.dlq")))
        assert not task.done()
    assert broker.values("a.two.dlq") == []
