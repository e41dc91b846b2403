"""A fused step that awaits is part of the burst: its deadline, its key and what runs beside it."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from streamapp.errors import Transient
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from streamapp.record import Headers
from streamapp.runtime.lane import Lane
from streamapp.topics.topic import Topic
from tests.contract.pipelines import error_headers
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import broker_with, in_virtual_time, loop, service

NAMES = ("one", "two", "three")


def sleeping(name: str, began: list[tuple[str, bytes, float]] | None = None) -> Agent[bytes, bytes]:
    """Sleeps for as many tenths of a second as its digit of the value says."""

    @agent(name=name)
    async def sleep(value: bytes) -> bytes:
        if began is not None:
            began.append((name, value, round(loop().time(), 3)))
        if tenths := int(value.split()[NAMES.index(name)]):
            await asyncio.sleep(tenths / 10)
        return value

    return sleep


async def made(
    *values: tuple[bytes, bytes], concurrency: int = 8, began: list[tuple[str, bytes, float]]
) -> FaultyBroker:
    broker = await broker_with("in", "out", *(f"p.{name}.dlq" for name in NAMES))
    await broker.write("in", *values)
    pipeline = Pipeline("p", source=Topic("in", bytes)).stage(
        sleeping("one", began), on_error=dead_letter(), timeout_seconds=1, concurrency=concurrency
    )
    for name in NAMES[1:]:
        pipeline = pipeline.stage(
            sleeping(name, began), fused=True, on_error=dead_letter(), timeout_seconds=1
        )
    stage = service(broker, build(pipeline.sink("out")))
    await stage.run(until_end=True)
    for metrics in stage.metrics:
        finished = metrics.processed + metrics.dead_lettered
        assert sum(metrics.attempt_duration.counts) == metrics.records_in == finished
    return broker


@pytest.mark.parametrize("value", [b"8 8 8", b"0 8 8", b"8 0 8", b"8 8 0", b"0 0 8"])
@in_virtual_time
async def test_each_step_has_a_deadline_of_its_own(value: bytes) -> None:
    broker = await made((b"k", b"0 0 0"), (b"k", value), (b"k", b"0 0 1"), began=[])
    assert broker.values("out") == [b"0 0 0", value, b"0 0 1"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("before", [b"0", b"6"])
@in_virtual_time
async def test_the_step_that_took_too_long_is_the_one_that_is_told(
    place: int, before: bytes
) -> None:
    late = b" ".join([before] * place + [b"15"] + [b"0"] * (2 - place))
    began: list[tuple[str, bytes, float]] = []
    broker = await made((b"k", b"0 0 0"), (b"k", late), (b"k", b"0 0 2"), began=began)
    assert broker.values("out") == [b"0 0 0", b"0 0 2"]
    [letter] = broker.records(f"p.{NAMES[place]}.dlq")
    assert letter.value == late
    assert error_headers(letter)["class"] == "TimeoutError"
    steps = {(name, value): at for name, value, at in began}
    # The key waits for the one that is late, and no longer.
    given_up = steps["one", b"0 0 2"] - steps[NAMES[place], late]
    assert given_up == pytest.approx(1.0, abs=0.3)


@in_virtual_time
async def test_other_keys_go_on_beside_one_that_waits_in_a_later_step() -> None:
    began: list[tuple[str, bytes, float]] = []
    values = [(b"a", b"0 5 0"), (b"b", b"0 0 5"), (b"a", b"0 0 1"), (b"c", b"5 5 0")]
    broker = await made(*values, began=began)
    assert sorted(broker.values("out"), key=str) == sorted(value for _, value in values)
    at = {(name, value): when for name, value, when in began}
    first = at["one", b"0 5 0"]
    assert at["one", b"0 0 5"] - first < 0.1
    assert at["one", b"5 5 0"] - first < 0.1
    assert at["one", b"0 0 1"] - first == pytest.approx(0.5, abs=0.1)
    # Of a key, outputs have the order of inputs.
    assert broker.values("out").index(b"0 5 0") < broker.values("out").index(b"0 0 1")


@pytest.mark.parametrize("seed", range(30))
@in_virtual_time
async def test_lanes_that_wait_in_any_step_finish_each_record_once(seed: int) -> None:
    rng = random.Random(seed)
    digits = [rng.choices(range(4), weights=[3, 1, 1, 1], k=3) for _ in range(60)]
    values = [b"%d %d %d %d" % (*some, n) for n, some in enumerate(digits)]
    records = [(b"k%d" % rng.randrange(5), value) for value in values]
    began: list[tuple[str, bytes, float]] = []
    broker = await made(*records, concurrency=rng.choice([2, 3]), began=began)
    written = [(record.key, record.value) for record in broker.records("out")]
    assert sorted(written, key=str) == sorted(records, key=str)
    for key in sorted({key for key, _ in records}):
        assert [one for one in written if one[0] == key] == [
            one for one in records if one[0] == key
        ]
    assert len(began) == 3 * len(records)


@agent(name="first")
async def first(value: bytes) -> bytes:
    return value


class Outage:
    """Two fused steps: the first has a dependency, and the second waits as long as is said.

    Attributes:
        is_down: whether the dependency is.
    """

    def __init__(self) -> None:
        self.is_down = False

    @asynccontextmanager
    async def run(
        self, wait_seconds: Callable[[bytes], float], *, concurrency: int
    ) -> AsyncIterator[FaultyBroker]:
        @agent(name="one")
        async def one(value: bytes) -> bytes:
            if self.is_down:
                raise Transient("down")
            return value

        @agent(name="two")
        async def two(value: bytes) -> bytes:
            if seconds := wait_seconds(value):
                await asyncio.sleep(seconds)
            return value

        broker = await broker_with("in", "out", "p.one.dlq", "p.two.dlq")
        pipeline = (
            Pipeline("p", source=Topic("in", bytes))
            .stage(one, on_error=dead_letter(), concurrency=concurrency)
            .stage(two, fused=True, on_error=dead_letter(), timeout_seconds=60)
        )
        async with running(service(broker, build(pipeline.sink("out")))):
            yield broker


@in_virtual_time
async def test_what_passed_a_step_before_an_outage_is_no_success_within_it() -> None:
    outage = Outage()
    async with outage.run(lambda value: 10 * (value == b"slow"), concurrency=2) as broker:
        await broker.write("in", (b"a", b"slow"))
        await asyncio.sleep(5)  # it has passed the first step, and waits in the second
        outage.is_down = True
        await broker.write("in", (b"b", b"in the outage"))
        await asyncio.sleep(60)
        outage.is_down = False
        await asyncio.sleep(60)
    assert broker.values("p.one.dlq") == []
    assert broker.values("out") == [b"slow", b"in the outage"]


@in_virtual_time
async def test_no_letters_flood_while_others_are_in_a_later_step() -> None:
    def wait_seconds(value: bytes) -> float:
        return 1.5 + int(value) if value.isdigit() else 0.0

    outage = Outage()
    async with outage.run(wait_seconds, concurrency=16) as broker:
        await broker.write("in", *((b"a%d" % n, b"%d" % n) for n in range(15)))
        await asyncio.sleep(1)
        outage.is_down = True
        for n in range(60):
            await broker.write("in", (b"b%d" % n, b"late %d" % n))
            await asyncio.sleep(0.4)
        outage.is_down = False
    assert broker.values("p.one.dlq") == []


@in_virtual_time
async def test_a_parked_lane_keeps_no_input_of_a_fused_step() -> None:
    @agent(name="two")
    async def two(value: bytes) -> bytes:
        await asyncio.sleep(0.1)
        return b"done with " + value

    broker = await broker_with("in", "out", "p.first.dlq", "p.two.dlq")
    pipeline = (
        Pipeline("p", source=Topic("in", bytes))
        .stage(first, on_error=dead_letter(), concurrency=1)
        .stage(two, fused=True, on_error=dead_letter())
    )
    before = {id(one) for one in gc.get_objects() if isinstance(one, Lane)}
    async with running(service(broker, build(pipeline.sink("out")))):
        await broker.write("in", (b"k", b"large"))
        await until(lambda: len(broker.values("out")) == 1)
        await asyncio.sleep(1)
        lanes = [one for one in gc.get_objects() if isinstance(one, Lane) and id(one) not in before]
        assert lanes
        assert [lane.packed for lane in lanes] == [None] * len(lanes)


@in_virtual_time
async def test_a_fused_step_is_told_the_same_headers_in_each_attempt() -> None:
    seen: list[Headers] = []

    @agent(name="two")
    async def two(value: bytes, context: Context) -> bytes:
        seen.append(list(context.value_headers))
        if context.attempt == 1:
            raise Transient("once")
        return value

    broker = await broker_with("in", "out", "p.first.dlq", "p.two.dlq")
    headers = [("trace", b"t"), ("streamapp.error.class", b"X")]
    await broker.write("in", (b"k", b"v"), headers=headers)
    once = retry(1, then=dead_letter(), backoff=Backoff(base_seconds=0.1))
    pipeline = (
        Pipeline("p", source=Topic("in", bytes))
        .stage(first, on_error=dead_letter())
        .stage(two, fused=True, on_error=once)
    )
    await service(broker, build(pipeline.sink("out"))).run(until_end=True)
    assert seen == [[("trace", b"t")], [("trace", b"t")]]
