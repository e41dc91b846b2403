"""Agents that work on batches are replaced at any moment: while one waits for others, or works."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.pipeline.agent import Agent
from streamapp.pipeline.batch_agent import batch_agent
from streamapp.policies.policy import dead_letter
from streamapp.registry.assemble import Options
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from streamapp.runtime.config import RuntimeConfig
from tests.unit.reassembly.shop import (
    OPEN_SECONDS,
    PRICE,
    QUICK,
    Order,
    Priced,
    Pricer,
    assembled,
    assert_in_order_once,
    check,
    order,
    pricer,
    prices,
    registry_of,
    shop_broker,
    shop_service,
)
from tests.unit.reassembly.test_moments import COUNT, POISON, letters
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import in_virtual_time

IDS = ("a", "b", "c", "d")


class BatchPricer(Pricer):
    """Prices several orders with one call, as a whole or one by one.

    Attributes:
        as_a_whole: whether a call with an order that cannot be priced fails as a whole.
    """

    as_a_whole = False

    async def __call__(self, orders: list[Order]) -> list[Priced | Exception]:  # type: ignore[override]  # of a batch
        self.calls[self.agent_id] += 1
        await asyncio.sleep(self.waits)
        if self.agent_id in self.down:
            raise OSError(f"{self.agent_id} is down")
        bad = [ValueError(f"order {one.n} has no price") for one in orders if one.n in self.poison]
        if bad and self.as_a_whole:
            raise bad[0]
        return [
            ValueError(f"order {one.n} has no price")
            if one.n in self.poison
            else Priced(n=one.n, by=self.agent_id)
            for one in orders
        ]


def batch_pricer(
    agent_id: str, size: int, linger_seconds: float, *, as_a_whole: bool = False
) -> Agent[Order, Priced]:
    made = BatchPricer(agent_id)
    made.as_a_whole = as_a_whole
    decorated = batch_agent(
        size=size, linger_seconds=linger_seconds, name=agent_id, capabilities=[PRICE]
    )
    return decorated(made)


SHAPES = st.tuples(st.sampled_from([0, 1, 4, 50]), st.sampled_from([0.0, 0.3, 30.0]), st.booleans())
"""Size of a batch, where 0 stands for an agent of single orders; its linger; what a failure is."""

STEPS = st.fixed_dictionaries(
    {
        "ordering": st.sampled_from(["key", "partition", "unordered"]),
        "concurrency": st.sampled_from([1, 8]),
    }
)


def registry_with(shapes: Sequence[tuple[int, float, bool]]) -> AgentRegistry:
    """Pricers of these shapes, called by the letters of the alphabet."""
    registry = registry_of()
    for agent_id, (size, linger, as_a_whole) in zip(IDS, shapes, strict=True):
        single = pricer(agent_id)
        many = batch_pricer(agent_id, size or 1, linger, as_a_whole=as_a_whole)
        registry.register(many if size else single)
    return registry


@settings(max_examples=40)
@given(
    shapes=st.lists(SHAPES, min_size=4, max_size=4),
    moments=st.lists(st.floats(0.0, 4.0), min_size=1, max_size=3),
    step=STEPS,
    waits=st.sampled_from([0.0, 0.05, 0.4, 2.5]),
    drain_seconds=st.sampled_from([15.0, 1.0]),
    bundle=st.sampled_from([None, "shops"]),
)
def test_each_record_ends_once_and_keys_keep_their_order(
    shapes: list[tuple[int, float, bool]],
    moments: list[float],
    step: dict[str, Any],
    waits: float,
    drain_seconds: float,
    bundle: str | None,
) -> None:
    @in_virtual_time
    async def run() -> None:
        broker = await shop_broker(partitions=2)
        Pricer.poison, Pricer.waits = POISON, waits
        registry = registry_with(shapes)
        steps = {1: {"on_error": QUICK}, 2: {"on_error": dead_letter(), **step}}
        made = assembled(registry, Scores(clock=broker.clock), options=Options(settings=steps))
        config = RuntimeConfig(shutdown_drain_seconds=drain_seconds)
        service = shop_service(broker, made, config=config, check_seconds=0.05, bundle=bundle)
        await order(broker, range(COUNT))

        async def unregister() -> None:
            for agent_id, seconds in zip(IDS, moments, strict=False):
                await asyncio.sleep(seconds)
                registry.unregister(agent_id)

        async with asyncio.TaskGroup() as group:
            group.create_task(unregister())
            await service.run(until_end=True)
        # A call may end in the moment in which it is not waited for any longer: then what it gives
        # is written, and the record is worked on again.
        may_repeat = drain_seconds < 15
        assert ended(letters(broker), may_repeat=may_repeat) == sorted(POISON)
        priced = ended([one.n for one in prices(broker, 2)], may_repeat=may_repeat)
        assert sorted(priced) == sorted(set(range(COUNT)) - POISON)
        for key in range(5) if step["ordering"] != "unordered" else ():
            own = [n for n in priced if n % 5 == key]
            assert own == sorted(own)
        for agent_id in IDS:
            notes = [note for note in Pricer.notes if note.endswith(f" {agent_id}")]
            assert notes in ([], [f"open {agent_id}", f"close {agent_id}"])

    run()


def ended(numbers: Sequence[int], *, may_repeat: bool) -> list[int]:
    """What has ended, each the first time if it may have ended again."""
    return list(dict.fromkeys(numbers)) if may_repeat else list(numbers)


@pytest.mark.parametrize("bundle", [None, "shops"])
@in_virtual_time
async def test_a_batch_that_waits_for_others_is_read_again_by_who_comes(
    bundle: str | None,
) -> None:
    broker = await shop_broker()
    registry = registry_of(others=(check, batch_pricer("a", 50, 30.0), batch_pricer("b", 3, 30.0)))
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)), bundle=bundle)
    async with running(service):
        await order(broker, range(7))
        await until(lambda: service.metrics[1].in_flight_records == 7)
        registry.unregister("a")
        await until(lambda: len(prices(broker)) == 6, seconds=20)
        assert Pricer.calls == {"b": 2}
        await until(lambda: len(prices(broker)) == 7, seconds=60)  # the last one has lingered
    assert_in_order_once(prices(broker), 7)
    assert {one.by for one in prices(broker)} == {"b"}


@pytest.mark.parametrize("comes", ["a batch agent", "an agent of single orders"])
@in_virtual_time
async def test_orders_that_were_held_for_a_batch_agent_are_priced_by_who_comes(comes: str) -> None:
    broker = await shop_broker(partitions=2)
    registry = registry_of(
        *(["b"] if comes != "a batch agent" else []), others=(check, batch_pricer("a", 10, 0.5))
    )
    if comes == "a batch agent":
        registry.register(batch_pricer("b", 4, 0.1))
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)))
    stage = service.metrics[1]
    async with running(service):
        await order(broker, range(50))
        await until(lambda: len(prices(broker, 2)) == 50, seconds=60)
        Pricer.down = {"a"}
        await order(broker, range(50, 300))
        await until(lambda: stage.held_since is not None, seconds=60)
        await until(lambda: len(prices(broker, 2)) == 300, seconds=10 * OPEN_SECONDS)
    assert_in_order_once(prices(broker, 2), 300)
    assert [one.by for one in prices(broker, 2)].count("b") == 250
    assert not letters(broker)
