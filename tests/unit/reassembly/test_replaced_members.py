"""Members of a pool in an assembled pipeline are replaced one by one."""

import asyncio

import pytest

from streamapp.observability.stage_metrics import ReplacementCause
from streamapp.registry.assemble import Assembled, Options
from streamapp.registry.registry import AgentRegistry
from streamapp.registry.scores import Scores
from tests.unit.reassembly.shop import (
    QUICK,
    Pricer,
    assembled,
    assert_in_order_once,
    order,
    prices,
    registry_of,
    shop_broker,
    shop_service,
)
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import in_virtual_time


def pooled(broker: FaultyBroker, registry: AgentRegistry) -> Assembled:
    """Two agents share the prices."""
    steps = {1: {"on_error": QUICK}, 2: {"on_error": QUICK}}
    options = Options(settings=steps, pools={2: 2}, pool_capacity=4)
    return assembled(registry, Scores(clock=broker.clock), options=options)


@in_virtual_time
async def test_a_member_that_is_unregistered_is_replaced_and_the_others_stay_open() -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b", "c")
    Pricer.waits = 0.5
    service = shop_service(broker, pooled(broker, registry))
    async with running(service):
        await order(broker, range(100))
        await until(lambda: len(prices(broker)) > 10)
        registry.unregister("a")
        await until(lambda: len(prices(broker)) == 100, seconds=100)
        [chain] = service.chains
        assert set(service.metrics[1].pools) == {"a-pool"}
    assert_in_order_once(prices(broker), 100)
    assert [one.agent_id for one in chain.steps[1].scores] == ["c", "b"]
    assert {one.by for one in prices(broker)} == {"a", "b", "c"}
    assert Pricer.notes == ["open a", "open b", "open c", "close a", "close c", "close b"]


@in_virtual_time
async def test_without_another_agent_the_others_share_the_work() -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b")
    service = shop_service(broker, pooled(broker, registry))
    async with running(service):
        registry.unregister("a")
        await until(lambda: bool(service.chains[0].replacements))
        await order(broker, range(20))
        await until(lambda: len(prices(broker)) == 20)
        [told] = service.chains[0].replacements
        registry.unregister("b")  # the last one stays
        await asyncio.sleep(20)
        await order(broker, range(20, 40))
        await until(lambda: len(prices(broker)) == 40)
    assert told.by is None
    assert told.told.endswith("; the others share its work")
    assert service.metrics[1].replacements[ReplacementCause.UNREGISTERED] == 1
    assert {one.by for one in prices(broker)} == {"b"}


@in_virtual_time
async def test_a_member_whose_breaker_stays_open_is_replaced() -> None:
    broker = await shop_broker()
    service = shop_service(broker, pooled(broker, registry_of("a", "b", "c")), open_seconds=20.0)
    Pricer.down, Pricer.waits = {"b"}, 0.5
    async with running(service):
        await order(broker, range(300), keys=50)
        await until(lambda: len(prices(broker)) == 300, seconds=200)
        await asyncio.sleep(6)
        [chain] = service.chains
    assert_in_order_once(prices(broker), 300, keys=50)
    assert [(one.agent_id, one.by) for one in chain.replacements] == [("b", "c")]
    rates = {
        score.agent_id: next(one.value for one in score.figures if one.name == "success_rate")
        for score in chain.steps[1].scores
    }
    assert rates == pytest.approx({"a": 0.98, "c": 0.95}, abs=0.05)
