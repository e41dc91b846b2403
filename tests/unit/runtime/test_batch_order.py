"""Whatever fails, however batches are put together: order by key holds, and nothing is lost."""

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import Permanent
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import retry
from streamapp.runtime.config import RuntimeConfig
from streamapp.topics.topic import Topic
from tests.patience import eventually
from tests.unit.runtime.faults import FaultyBroker, running
from tests.unit.runtime.virtual import broker_for, broker_with, in_virtual_time, one_stage, service

SOON = Backoff(base_seconds=1, max_seconds=4)


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        keys: the key of each record; `None` for none.
        poison: numbers of records with which no call succeeds.
        size, linger_seconds, concurrency, ordering: settings of the stage.
        seed: draws how long calls take, and which fail.
        failing: how likely it is that a call or a record fails.
        stops_at: seconds until the stage is stopped and started again; `None`: never.
    """

    keys: list[int | None]
    poison: frozenset[int]
    size: int
    linger_seconds: float
    concurrency: int
    ordering: str
    seed: int
    failing: float
    stops_at: float | None


PLANS = st.builds(
    Plan,
    keys=st.lists(st.sampled_from([0, 1, 2, 3, None]), min_size=1, max_size=40),
    poison=st.frozensets(st.integers(0, 39), max_size=3),
    size=st.integers(1, 8),
    linger_seconds=st.sampled_from([0.0, 0.5, 20.0]),
    concurrency=st.integers(1, 4),
    ordering=st.sampled_from(["key", "partition", "unordered"]),
    seed=st.integers(0, 2**16),
    failing=st.sampled_from([0.0, 0.1, 0.4]),
    stops_at=st.sampled_from([None, None, 0.5, 3.0, 12.0]),
)


class Watched:
    """A batch agent that fails at random, and notes what is out of order."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed)
        self._running: set[int] = set()
        self.faults: list[str] = []
        self.sizes: list[int] = []

    def agent(self) -> Agent[bytes, bytes]:
        plan, rng = self._plan, self._rng

        @batch_agent(size=plan.size, linger_seconds=plan.linger_seconds)
        async def watched(values: list[bytes]) -> list[bytes | Exception]:
            numbers = list(map(int, values))
            places = {place for n in numbers if (place := self._place(n)) is not None}
            self._note(numbers, places)
            self._running |= places
            try:
                await asyncio.sleep(rng.choice((0, 0, 0.3, 1, 2)))
            finally:
                self._running -= places
            if plan.poison.intersection(numbers):
                raise rng.choice((Permanent("poison"), Permanent("poison"), OSError("poison")))
            if rng.random() < plan.failing / 2:
                raise rng.choice((OSError("busy"), KeyError("busy")))
            return [OSError("busy") if rng.random() < plan.failing else v for v in values]

        return watched

    def _note(self, numbers: list[int], places: set[int]) -> None:
        self.sizes.append(len(numbers))
        if places & self._running:
            self.faults.append(f"{numbers} beside {self._running}")
        if len(numbers) > self._plan.size:
            self.faults.append(f"{numbers} are too many")
        by_place: defaultdict[int, list[int]] = defaultdict(list)
        for n in numbers:
            if (place := self._place(n)) is not None:
                by_place[place].append(n)
        if any(found != sorted(found) for found in by_place.values()):
            self.faults.append(f"{numbers} are out of order")

    def _place(self, number: int) -> int | None:
        """What is worked on in order with this record; `None` is nothing."""
        if self._plan.ordering == "partition":
            return -1
        return self._plan.keys[number] if self._plan.ordering == "key" else None


@settings(max_examples=150, deadline=None)
@given(PLANS)
def test_order_holds_and_each_record_ends_once(plan: Plan) -> None:
    check(plan)


@in_virtual_time
async def check(plan: Plan) -> None:
    broker, watched = await broker_for("p"), Watched(plan)
    count = len(plan.keys)
    bad = {n for n in plan.poison if n < count}
    records = [(None if k is None else b"k%d" % k, b"%d" % n) for n, k in enumerate(plan.keys)]
    await broker.write("p-in", *records)
    topology = one_stage(
        watched.agent(),
        retry(1000, backoff=SOON),
        ordering=plan.ordering,
        concurrency=plan.concurrency,
        breaker=None,
        dead_letter_budget=None,
    )

    config = RuntimeConfig(shutdown_drain_seconds=4)

    def outputs() -> list[int]:
        return [int(value or b"") for value in broker.values("p-out")]

    def letters() -> list[int]:
        return [int(value or b"") for value in broker.values("p.stage.dlq")]

    def is_done() -> bool:
        return set(outputs()) | set(letters()) == set(range(count))

    if plan.stops_at is not None:
        async with running(service(broker, topology, config=config)):
            await asyncio.sleep(plan.stops_at)
    async with running(service(broker, topology, config=config)):
        await eventually(is_done, seconds=100_000, pause_seconds=0.5)
    assert watched.faults == []
    assert set(letters()) == bad
    assert set(outputs()) == set(range(count)) - bad
    if plan.stops_at is None:
        assert len(outputs()) + len(letters()) == count
    if plan.ordering != "unordered":
        _assert_in_order(plan, outputs())


def _assert_in_order(plan: Plan, outputs: list[int]) -> None:
    by_key: defaultdict[int, list[int]] = defaultdict(list)
    for n in dict.fromkeys(outputs):  # what is repeated after a stop was there before
        key = plan.keys[n]
        if plan.ordering == "partition":
            by_key[-1].append(n)
        elif key is not None:
            by_key[key].append(n)
    assert all(found == sorted(found) for found in by_key.values())


def followed_by(slow_seconds: dict[bytes, float]) -> Topology:
    """Batches of three, of which `a` fails once, and a fused stage that takes so long."""
    failures = [ValueError("once")]

    @batch_agent(size=3, linger_seconds=1)
    async def first(values: list[bytes], contexts: list[Context]) -> list[bytes | Exception]:
        for value, context in zip(values, contexts, strict=True):
            context.metadata["seen"] = value.decode()
        await asyncio.sleep(30 if values == [b"b"] else 0)
        return [failures.pop() if value == b"a" and failures else value for value in values]

    @agent
    async def slow(value: bytes) -> bytes:
        await asyncio.sleep(slow_seconds.get(value, 0))
        return value

    policy = retry(3, backoff=Backoff(1, max_seconds=1))
    return build(
        Pipeline("p", source=Topic("p-in", bytes))
        .stage(first, name="stage", on_error=policy, concurrency=2, timeout_seconds=100)
        .stage(slow, name="slow", fused=True, timeout_seconds=100)
        .sink(Topic("p-out", bytes))
    )


async def all_written(broker: FaultyBroker, count: int) -> None:
    async with asyncio.timeout(100):
        while len(broker.values("p-out")) < count:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.1)


@in_virtual_time
async def test_a_record_whose_turn_comes_while_its_old_batch_is_handled_is_tried() -> None:
    topology = followed_by({b"x": 10, b"y": 20})
    broker = await broker_with(*topology.topics())
    async with running(service(broker, topology)):
        await broker.write("p-in", (b"1", b"a"), (b"2", b"x"), (b"1", b"b"))
        await asyncio.sleep(1)
        await broker.write("p-in", (b"3", b"y"))
        await all_written(broker, 4)
    assert [value for value in broker.values("p-out") if value in (b"a", b"b")] == [b"a", b"b"]


@in_virtual_time
async def test_a_record_that_is_tried_again_behind_another_has_a_new_context() -> None:
    """What its agent added while the result could not be used is forgotten."""
    failures = [ValueError("once")]

    @batch_agent(size=2, linger_seconds=1)
    async def count(values: list[bytes], contexts: list[Context]) -> list[bytes | Exception]:
        for context in contexts:
            context.metadata[f"batch of {len(values)}"] = True
        return [failures.pop() if value == b"a" and failures else value for value in values]

    broker = await broker_for("p")
    async with running(service(broker, one_stage(count, retry(3, backoff=Backoff(1))))):
        await broker.write("p-in", (b"1", b"a"), (b"1", b"b"))
        await all_written(broker, 2)
    for record in broker.records("p-out"):
        assert b"batch of 1" in dict(record.headers)["streamapp.context"]
        assert b"batch of 2" not in dict(record.headers)["streamapp.context"]


@in_virtual_time
async def test_what_its_agent_adds_to_the_context_meanwhile_is_kept() -> None:
    topology = followed_by({b"x": 10})
    broker = await broker_with(*topology.topics())
    async with running(service(broker, topology)):
        await broker.write("p-in", (b"1", b"a"), (b"2", b"x"), (b"1", b"b"))
        await all_written(broker, 3)
    for record in broker.records("p-out"):
        value = record.value or b""
        assert b'"seen":"%b"' % value in dict(record.headers)["streamapp.context"]
