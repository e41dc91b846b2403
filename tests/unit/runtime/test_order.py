"""Records of one key never run side by side, however attempts suspend and fail."""

import asyncio
import random
from collections import defaultdict

import pytest

from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import dead_letter, retry
from streamapp.service import Service
from streamapp.topics.topic import Topic
from tests.unit.runtime.faults import FaultyBroker, running, until, until_committed

RECORDS = 300
KEYS = 5


class Restless:
    """An agent that suspends and fails at random, and knows what runs at once."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.running: set[int] = set()
        self.side_by_side = 0
        self.overlaps = 0
        self.ended: defaultdict[int, list[int]] = defaultdict(list)

    def agent(self) -> Agent[bytes, bytes]:
        @agent(name="stage")
        async def restless(value: bytes) -> bytes:
            number = int(value)
            key = number % KEYS
            self.overlaps += key in self.running
            self.running.add(key)
            self.side_by_side = max(self.side_by_side, len(self.running))
            try:
                for _ in range(self._rng.choice((0, 0, 1, 2, 5))):
                    await asyncio.sleep(0)
                if self._rng.random() < 0.05:
                    raise OSError
            finally:
                self.running.discard(key)
            self.ended[key].append(number)
            return value

        return restless


@pytest.mark.parametrize(
    ("seed", "audit"), [*((seed, "errors") for seed in range(12)), (5, "all"), (7, "all")]
)
async def test_order_by_key_holds_whatever_suspends_and_fails(seed: int, audit: str) -> None:
    broker = FaultyBroker()
    await broker.create("in", "out", "p.stage.dlq")
    await broker.write("in", *((b"%d" % (n % KEYS), b"%d" % n) for n in range(RECORDS)))
    restless = Restless(seed)
    pipeline = (
        Pipeline("p", source=Topic("in", bytes), audit=audit)
        .stage(
            restless.agent(),
            on_error=retry(20, backoff=Backoff(base_seconds=0.001)),
            concurrency=1 + seed % 8,
        )
        .sink(Topic("out", bytes))
    )
    async with running(Service(broker, [build(pipeline)])):
        await until_committed(broker, "p.stage", RECORDS)
    assert restless.overlaps == 0
    assert restless.side_by_side > 1 or seed % 8 == 0
    for key, numbers in restless.ended.items():
        assert numbers == list(range(key, RECORDS, KEYS))
    written = [int(value or b"") for value in broker.values("out")]
    for key in range(KEYS):
        assert [n for n in written if n % KEYS == key] == list(range(key, RECORDS, KEYS))


async def test_bytes_that_do_not_decode_behind_an_attempt_that_waited_are_their_own_failure() -> (
    None
):
    @agent(name="stage")
    async def waits(value: int) -> int:
        await asyncio.sleep(0)
        return value

    broker = FaultyBroker()
    await broker.create("in", "out", "p.stage.dlq")
    pairs = [(b"%d" % n, b"%d" % n if n % 3 else b"broken %d" % n) for n in range(60)]
    await broker.write("in", *pairs)
    pipeline = (
        Pipeline("p", source=Topic("in", int))
        .stage(waits, on_error=dead_letter(), concurrency=2)
        .sink(Topic("out", int))
    )
    async with running(Service(broker, [build(pipeline)])):
        await until_committed(broker, "p.stage", len(pairs))
    good = {value for _, value in pairs if value.isdigit()}
    bad = {value for _, value in pairs} - good
    assert set(broker.values("out")) == good
    assert set(broker.values("p.stage.dlq")) == bad


async def test_a_drain_begins_nothing_after_an_attempt_that_waited() -> None:
    gates = {b"1": asyncio.Event(), b"3": asyncio.Event()}
    begun: list[bytes] = []

    @agent(name="stage")
    async def gated(value: bytes) -> bytes:
        begun.append(value)
        if value in gates:
            await gates[value].wait()
        return value

    broker = FaultyBroker()
    await broker.create("in", "out", "p.stage.dlq")
    await broker.write("in", (b"k", b"1"), (b"k", b"2"), (b"j", b"3"), (b"k", b"4"), (b"i", b"5"))
    pipeline = (
        Pipeline("p", source=Topic("in", bytes))
        .stage(gated, concurrency=2)
        .sink(Topic("out", bytes))
    )
    service = Service(broker, [build(pipeline)])
    async with running(service):
        await until(lambda: begun == [b"1", b"3"])
        service.stop()
        await until(lambda: service.metrics[0].state is StageState.DRAINING)
        gates[b"3"].set()
        gates[b"1"].set()
    # 4 would stand before 2, which is to be delivered again.
    assert begun == [b"1", b"3"]
    assert sorted(value or b"" for value in broker.values("out")) == [b"1", b"3"]
