"""Each attempt has a context of its own: what it sets is there until it ends, and not longer."""

import asyncio
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from streamapp.errors import Transient
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.contexts import Contexts
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service

OWN: ContextVar[Any] = ContextVar("OWN")
INHERITED: ContextVar[Any] = ContextVar("INHERITED")

RECORDS = [(b"key %d" % (n % 5), b"%d" % n) for n in range(20)]
VALUES = [value for _, value in RECORDS]
ONCE_MORE = retry(1, then=dead_letter(), backoff=Backoff(base_seconds=1))


class Incomparable:
    """A value like an array of numpy: asked whether it is equal to another, it raises."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    def __hash__(self) -> int:
        return 0


def own_or_inherited(value: bytes) -> ContextVar[Any]:
    return INHERITED if int(value) % 2 else OWN


def begin(value: bytes) -> None:
    """See what the service has set and nothing else, and set a variable."""
    assert OWN.get(None) is None
    assert type(INHERITED.get()) is str
    own_or_inherited(value).set(Incomparable(value))


def see(value: bytes) -> bytes:
    """See what this attempt has set, and that only."""
    variable = own_or_inherited(value)
    assert variable.get().value == value
    token = variable.set("for a while")
    variable.reset(token)
    assert variable.get().value == value
    return value


def plain(value: bytes) -> bytes:
    begin(value)
    return see(value)


def with_context(value: bytes, _context: Context) -> bytes:
    return plain(value)


def of_a_list(value: bytes) -> list[bytes]:
    return [plain(value)]


def generator(value: bytes) -> Iterator[bytes]:
    begin(value)
    yield see(value)
    see(value)


async def not_suspending(value: bytes) -> bytes:
    return plain(value)


async def suspending(value: bytes) -> bytes:
    begin(value)
    token = OWN.set("until it has waited")
    await asyncio.sleep(0.01 * (int(value) % 3))
    OWN.reset(token)
    await asyncio.sleep(0)
    return see(value)


async def suspending_now_and_then(value: bytes) -> bytes:
    begin(value)
    if int(value) % 3 == 0:
        await asyncio.sleep(0.01)
    return see(value)


async def async_generator(value: bytes) -> AsyncIterator[bytes]:
    begin(value)
    await asyncio.sleep(0.01)
    yield see(value)
    await asyncio.sleep(0)
    see(value)


SHAPES = [
    plain,
    with_context,
    of_a_list,
    generator,
    not_suspending,
    suspending,
    suspending_now_and_then,
    async_generator,
]

Shape = Callable[..., Any]
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES)


def failing_first(shape: Shape) -> Shape:
    """The same, but the first attempt on each value fails when it has set its variables."""
    tries: Counter[bytes] = Counter()

    def fail_once(value: bytes) -> bytes:
        begin(value)
        tries[value] += 1
        if tries[value] == 1:
            raise Transient
        return see(value)

    async def fail_once_later(value: bytes) -> bytes:
        await asyncio.sleep(0.01)
        return fail_once(value)

    return fail_once if shape is plain else fail_once_later


async def outputs(shape: Shape, policy: Policy | None = None, **options: Any) -> list[bytes | None]:
    """Sorted outputs of one stage; an attempt that sees a wrong variable has none."""
    INHERITED.set("of the service")
    broker = await broker_for("p")
    await broker.write("p-in", *RECORDS)
    await service(broker, one_stage(agent(shape), policy, **options)).run(until_end=True)
    assert broker.values("p.stage.dlq") == []
    return sorted(broker.values("p-out"), key=lambda value: int(value or b""))


@EACH_SHAPE
@in_virtual_time
async def test_what_an_attempt_sets_stays_through_its_waits_and_is_not_there_for_the_next(
    shape: Shape,
) -> None:
    assert await outputs(shape) == VALUES


@EACH_SHAPE
@in_virtual_time
async def test_the_same_with_one_lane(shape: Shape) -> None:
    assert await outputs(shape, concurrency=1) == VALUES


@pytest.mark.parametrize("shape", [plain, suspending])
@in_virtual_time
async def test_a_retry_does_not_see_what_the_attempt_before_has_set(shape: Shape) -> None:
    assert await outputs(failing_first(shape), ONCE_MORE) == VALUES


async def fused_outputs(
    first: Shape, second: Shape, policy: Policy | None = None
) -> list[bytes | None]:
    INHERITED.set("of the service")
    broker = await broker_with("in", "out", "p.one.dlq", "p.two.dlq")
    await broker.write("in", *RECORDS)
    pipeline = (
        Pipeline("p", source=Topic("in", bytes))
        .stage(agent(first), name="one", on_error=dead_letter())
        .stage(agent(second), name="two", on_error=policy or dead_letter(), fused=True)
        .sink("out")
    )
    await service(broker, build(pipeline)).run(until_end=True)
    assert broker.values("p.one.dlq") + broker.values("p.two.dlq") == []
    return sorted(broker.values("out"), key=lambda value: int(value or b""))


@EACH_SHAPE
@in_virtual_time
async def test_a_fused_stage_does_not_see_what_the_one_before_has_set(shape: Shape) -> None:
    assert await fused_outputs(shape, plain) == VALUES
    assert await fused_outputs(plain, shape) == VALUES


@in_virtual_time
async def test_nor_does_its_retry() -> None:
    assert await fused_outputs(plain, failing_first(plain), ONCE_MORE) == VALUES


@in_virtual_time
async def test_a_parked_lane_keeps_nothing_of_what_its_last_attempt_has_set() -> None:
    class Large:
        pass

    kept: list[weakref.ref[Large]] = []

    @agent
    def sets(value: bytes) -> bytes:
        large = Large()
        kept.append(weakref.ref(large))
        OWN.set(large)
        return value

    broker = await broker_for("p")
    stage = service(broker, one_stage(sets))
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: len(broker.values("p-out")) == 1)
        await asyncio.sleep(1)  # the timer of the flush has the context in which it was started
        assert [each() for each in kept] == [None]


@in_virtual_time
async def test_a_lane_can_be_cancelled_in_its_contexts() -> None:
    contexts, told = Contexts(), list[str]()

    async def lane() -> None:
        OWN.set("first")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append(OWN.get())
        await contexts.renew_if_used()
        told.append(OWN.get("nothing"))
        await asyncio.Event().wait()

    task = asyncio.create_task(contexts.run(lane()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["first", "nothing"]
