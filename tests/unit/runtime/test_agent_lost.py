"""An agent that ends by itself ends its stage, and no record is blamed for it."""

import asyncio
from contextvars import ContextVar

import pytest

from streamapp.errors import Permanent, StageError
from streamapp.observability.stage_metrics import StageState
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.chain import chain
from streamapp.pipeline.combinators.fallback import fallback
from streamapp.policies.backoff import Backoff
from streamapp.policies.policy import Policy, dead_letter, retry, stop
from streamapp.service import Service
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import broker_for, in_virtual_time, loop, one_stage, service

TENANT: ContextVar[str] = ContextVar("TENANT")


class Prices:
    """Holds a task group while it is open, which fails when `down` is set; calls fail then."""

    def __init__(self) -> None:
        self.down = asyncio.Event()
        self.closed = asyncio.Event()
        self.calls: list[bytes] = []

    async def open(self) -> None:
        self.group = asyncio.TaskGroup()
        await self.group.__aenter__()
        self.refreshing = self.group.create_task(self._refresh())

    async def close(self) -> None:
        self.closed.set()
        self.refreshing.cancel()
        await self.group.__aexit__(None, None, None)

    async def _refresh(self) -> None:
        await self.down.wait()
        raise ConnectionError("the price list is gone")

    async def __call__(self, value: bytes) -> bytes:
        self.calls.append(value)
        if value != b"quick":
            await self.closed.wait()
            raise Permanent("no prices")
        return value


TOLD = "the agent 'prices' of stage 'stage' has ended while its stage ran: ConnectionError"


@pytest.mark.parametrize(
    "policy",
    [dead_letter(), stop(), retry(9, backoff=Backoff(base_seconds=1))],
    ids=["dead letter", "stop", "retry"],
)
@in_virtual_time
async def test_no_record_is_blamed_and_none_is_lost_when_an_agent_has_ended(
    policy: Policy,
) -> None:
    broker, prices = await broker_for("a", "b"), Prices()
    await broker.write("a-in", (b"k", b"quick"), *((b"%d" % n, b"slow") for n in range(50)))
    topology = one_stage(agent(name="prices")(prices), policy, "a", concurrency=4)
    both = service(broker, topology, one_stage(same, name="b"))
    task = asyncio.create_task(both.run())
    await until(lambda: len(prices.calls) == 1 + 4)
    await broker.write("b-in", (b"k", b"1"))
    await until(lambda: broker.values("b-out") == [b"1"])
    prices.down.set()
    with pytest.raises(StageError, match=TOLD):
        await task
    assert len(prices.calls) == 1 + 4
    assert [metrics.state for metrics in both.metrics] == [StageState.FAILED, StageState.STOPPED]
    assert broker.values("a.stage.dlq") == []
    assert (await broker.committed("a.stage"), await broker.committed("b.stage")) == (1, 1)
    await service(broker, one_stage(same, name="a")).run(until_end=True)
    assert broker.values("a-out") == [b"quick", *[b"slow"] * 50]


@in_virtual_time
async def test_no_record_is_blamed_when_a_part_of_an_agent_has_ended() -> None:
    broker, prices = await broker_for("p"), Prices()
    await broker.write("p-in", *((b"%d" % n, b"slow") for n in range(10)))
    combined = chain(same, fallback(out_of_order, agent(name="prices")(prices)))
    stage = service(broker, one_stage(combined, dead_letter(), concurrency=4))
    task = asyncio.create_task(stage.run())
    await until(lambda: len(prices.calls) == 4)
    prices.down.set()
    with pytest.raises(StageError, match=TOLD):
        await task
    assert broker.values("p.stage.dlq") == []
    assert await broker.committed("p.stage") in (None, 0)


@agent
async def out_of_order(value: bytes) -> bytes:
    """Fail, so that another agent takes over."""
    raise OSError(value)


@in_virtual_time
async def test_no_attempt_begins_after_an_agent_has_ended() -> None:
    class Cached(Prices):
        late = 0

        def __call__(self, value: bytes) -> bytes:  # type: ignore[override]  # a plain one
            self.late += self.closed.is_set()
            loop().burn(0.001)
            return value

    broker, cached = await broker_for("p"), Cached()
    await broker.write("p-in", *((b"k", b"%d" % n) for n in range(1000)))
    stage = service(broker, one_stage(agent(name="prices")(cached)))
    task = asyncio.create_task(stage.run())
    await until(lambda: len(broker.values("p-out")) > 100)
    cached.down.set()
    with pytest.raises(StageError, match=TOLD):
        await task
    assert cached.late == 0
    assert await broker.committed("p.stage") == len(broker.values("p-out")) < 1000


@in_virtual_time
async def test_an_agent_that_ends_while_another_opens_keeps_the_stages_from_starting() -> None:
    broker, prices = await broker_for("a", "b"), Prices()

    class Slow(Prices):
        async def open(self) -> None:
            prices.down.set()
            await asyncio.Event().wait()

    stages = (
        one_stage(agent(name="prices")(prices), name="a"),
        one_stage(agent(name="slow")(Slow()), name="b"),
    )
    both: Service = service(broker, *stages)
    with pytest.raises(StageError, match=TOLD):
        await both.run()
    assert not any(metrics.rebalances for metrics in both.metrics)


@in_virtual_time
async def test_variables_set_while_agents_open_are_there_for_each_attempt() -> None:
    class Sets:
        async def open(self) -> None:
            TENANT.set("of open")

        async def close(self) -> None: ...

        def __call__(self, value: bytes) -> bytes:
            before = TENANT.get()
            TENANT.set("of an attempt")
            return value + before.encode()

    broker = await broker_for("p")
    await broker.write("p-in", (b"k", b"1 "), (b"k", b"2 "))
    async with running(service(broker, one_stage(agent(name="sets")(Sets())))):
        await until(lambda: len(broker.values("p-out")) == 2)
    assert broker.values("p-out") == [b"1 of open", b"2 of open"]
    assert TENANT.get("nothing") == "nothing"
