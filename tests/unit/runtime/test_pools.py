"""Stages whose agent is a pool: what a bad member does to them, and what it does not."""

import asyncio
from collections import Counter

import pytest

from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.pool import pool, pools_of
from streamapp.policies.backoff import Backoff
from streamapp.policies.breaker_config import BreakerConfig
from streamapp.policies.policy import Policy, dead_letter, retry
from streamapp.runtime.config import RuntimeConfig
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.test_hold import until_committed
from tests.unit.runtime.virtual import (
    broker_for,
    in_virtual_time,
    loop,
    on_virtual_clock,
    one_stage,
    service,
)

QUICK = retry(3, backoff=Backoff(base_seconds=0.1, max_seconds=0.4))


class Server:
    """A member whose calls take a while, and which can be down or hang."""

    def __init__(self, name: str, seconds: float = 0.01) -> None:
        self.name = name
        self.seconds = seconds
        self.is_down = False
        self.calls = self.calls_while_down = self.active = 0

    @property
    def agent(self) -> Agent[bytes, bytes]:
        @agent(name=self.name)
        async def serve(value: bytes) -> bytes:
            self.calls += 1
            self.calls_while_down += self.is_down
            self.active += 1
            try:
                await asyncio.sleep(self.seconds * (1 + int(value) % 3))
            finally:
                self.active -= 1
            if self.is_down:
                raise OSError("no answer")
            return value

        return serve


async def write(broker: FaultyBroker, values: range, keys: int = 7) -> list[bytes]:
    texts = [b"%d" % n for n in values]
    await broker.write("p-in", *((b"k%d" % (int(text) % keys), text) for text in texts))
    return texts


@in_virtual_time
async def test_order_within_a_key_is_kept_whichever_member_is_called() -> None:
    broker, small, large = await broker_for("p"), Server("small"), Server("large", 0.05)
    made = pool(small.agent, large.agent, capacity=(1, 3))
    async with running(service(broker, one_stage(made, QUICK, concurrency=8))):
        await write(broker, range(300))
        await until_committed(broker, "p.stage", 300)
    written = [int(value or b"") for value in broker.values("p-out")]
    assert sorted(written) == list(range(300))
    for key in range(7):
        assert [n for n in written if n % 7 == key] == list(range(key, 300, 7))
    assert min(small.calls, large.calls) > 20


@pytest.mark.parametrize("policy", [QUICK, dead_letter()], ids=["retry", "dead letter"])
@in_virtual_time
async def test_one_bad_member_costs_no_record_an_attempt_and_holds_nothing(policy: Policy) -> None:
    broker, good, bad = await broker_for("p"), Server("good"), Server("bad")
    bad.is_down = True
    stage = service(
        broker, one_stage(pool(good.agent, bad.agent, capacity=4), policy, concurrency=8)
    )
    async with running(stage):
        await write(broker, range(500))
        await until_committed(broker, "p.stage", 500)
        assert bad.calls_while_down < 20
        bad.is_down = False
        before = bad.calls
        for n in range(500, 3000, 50):
            await write(broker, range(n, n + 50))
            await asyncio.sleep(1)
        await until_committed(broker, "p.stage", 3000)
    assert bad.calls - before > 500
    assert broker.values("p.stage.dlq") == []
    assert (stage.metrics[0].retries, stage.metrics[0].holds) == (0, 0)


@pytest.mark.parametrize("policy", [QUICK, dead_letter()], ids=["retry", "dead letter"])
@pytest.mark.parametrize("nested", [False, True])
@in_virtual_time
async def test_if_all_members_are_down_the_stage_holds_at_once_and_goes_on_after(
    policy: Policy, *, nested: bool
) -> None:
    broker, a, b = await broker_for("p"), Server("a"), Server("b")
    made = pool(a.agent, b.agent, capacity=4)
    if nested:
        made = parallel(made).join(_first)
    stage = service(broker, one_stage(made, policy, concurrency=8))
    metrics = stage.metrics[0]
    async with running(stage):
        before = await write(broker, range(100))
        await until_committed(broker, "p.stage", 100)
        a.is_down = b.is_down = True
        during = await write(broker, range(100, 400))
        await until(lambda: metrics.held_since is not None)
        began = loop().time()
        await asyncio.sleep(60)
        assert "no member of the pool takes calls" in (metrics.held_reason or "")
        assert a.calls_while_down + b.calls_while_down < 40
        a.is_down = b.is_down = False
        await until_committed(broker, "p.stage", 400)
    assert loop().time() - began < 60 + 60
    assert broker.values("p.stage.dlq") == []
    assert Counter(broker.values("p-out")) == Counter(before + during)
    written = [int(value or b"") for value in broker.values("p-out")]
    for key in range(7):
        of_key = [n for n in written if n % 7 == key]
        assert of_key == sorted(of_key)
    assert (a.active, b.active, metrics.holds) == (0, 0, 1)


def _first(_: bytes, one: bytes) -> bytes:
    return one


@in_virtual_time
async def test_a_retry_that_finds_all_members_open_holds_its_stage_as_well() -> None:
    broker, a, b = await broker_for("p"), Server("a"), Server("b")
    a.is_down = b.is_down = True
    breaker = BreakerConfig(consecutive_failures=2)
    made = pool(a.agent, b.agent, capacity=4, breaker=breaker)
    stage = service(broker, one_stage(made, QUICK))
    async with running(stage):
        await write(broker, range(1))
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(60)
        assert stage.metrics[0].retries == 1
        a.is_down = b.is_down = False
        await until_committed(broker, "p.stage", 1)
    assert broker.values("p.stage.dlq") == []


@in_virtual_time
async def test_when_one_member_comes_back_the_stage_goes_on_with_it() -> None:
    broker, a, b = await broker_for("p"), Server("a"), Server("b")
    a.is_down = b.is_down = True
    stage = service(broker, one_stage(pool(a.agent, b.agent, capacity=4), QUICK, concurrency=8))
    async with running(stage):
        await write(broker, range(200))
        await until(lambda: stage.metrics[0].held_since is not None)
        await asyncio.sleep(30)
        b.is_down = False
        await until_committed(broker, "p.stage", 200)
    assert broker.values("p.stage.dlq") == []
    assert stage.metrics[0].holds == 1


@in_virtual_time
async def test_a_member_that_hangs_is_left_out_although_only_the_stage_has_a_deadline() -> None:
    broker, hangs, good = await broker_for("p"), Server("hangs", 3600), Server("good")
    made = pool(hangs.agent, good.agent, capacity=4)
    stage = service(broker, one_stage(made, QUICK, concurrency=8, timeout_seconds=1))
    async with running(stage):
        await write(broker, range(1, 1000))
        await until_committed(broker, "p.stage", 999)
    assert broker.values("p.stage.dlq") == []
    assert sorted(int(value or b"") for value in broker.values("p-out")) == list(range(1, 1000))
    assert hangs.calls < 40
    assert hangs.active == 0


@in_virtual_time
async def test_stopping_while_calls_wait_leaves_none_behind() -> None:
    broker, slow = await broker_for("p"), Server("slow", 3600)
    made = pool(slow.agent, capacity=2)
    stage = service(
        broker,
        one_stage(made, QUICK, concurrency=8, timeout_seconds=9000),
        config=RuntimeConfig(shutdown_drain_seconds=1),
    )
    async with running(stage):
        await write(broker, range(20), keys=20)
        await until(lambda: slow.active == 2)
    assert slow.active == 0
    assert broker.values("p-out") == []


@in_virtual_time
async def test_each_stage_tells_of_the_members_of_its_pools_while_it_runs() -> None:
    broker, a, b = await broker_for("p"), Server("a", 2), Server("b", 2)
    once, twice = pool(a.agent, capacity=2, name="pool"), pool(b.agent, capacity=3, name="pool")
    stage = service(broker, one_stage(chain(once, twice), concurrency=8))
    assert stage.metrics[0].pools == {}
    async with running(stage):
        await write(broker, range(0, 12, 3))
        await until(lambda: b.active == 2)
        now = loop().time()
        found = {name: states(now) for name, states in stage.metrics[0].pools.items()}
        assert [
            (name, one.name, one.active, one.capacity, one.calls)
            for name, states in found.items()
            for one in states
        ] == [("pool", "a", 2, 2, 4), ("pool-2", "b", 2, 3, 2)]


@on_virtual_clock
async def test_two_services_do_not_share_what_they_know_of_members() -> None:
    broker, a = await broker_for("p"), Server("a")
    made = pool(a.agent, capacity=1)
    async with running(service(broker, one_stage(made))):
        await write(broker, range(3))
        await until_committed(broker, "p.stage", 3)
    (found,) = pools_of(made)
    assert (a.calls, found.states()[0].calls) == (3, 0)
