"""Agents of assembled pipelines are replaced while they run; nothing is lost or out of order."""

import asyncio
from collections.abc import Collection
from contextlib import nullcontext, suppress
from functools import partial
from typing import NoReturn

import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.errors import BrokerError, DrainTimeoutError
from streamapp.observability.stage_metrics import ReplacementCause
from streamapp.pipeline.agent import agent
from streamapp.registry.scores import Scores
from tests.unit.reassembly.shop import (
    OPEN_SECONDS,
    PRICE,
    Order,
    Priced,
    Pricer,
    assembled,
    assert_in_order_once,
    check,
    order,
    prices,
    registry_of,
    shop_broker,
    shop_service,
)
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.virtual import in_virtual_time


@pytest.mark.parametrize("bundle", [None, "shops"])
@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_an_agent_whose_breaker_stays_open_is_replaced(
    fused: bool, bundle: str | None
) -> None:
    broker = await shop_broker()
    made = assembled(registry_of("a", "b"), Scores(clock=broker.clock), fused=fused)
    service = shop_service(broker, made, bundle=bundle)
    stage = service.metrics[1]
    async with running(service):
        await order(broker, range(50))
        await until(lambda: len(prices(broker)) == 50)
        Pricer.down = {"a"}
        await order(broker, range(50, 200))
        await until(lambda: stage.held_since is not None)
        began = broker.clock.monotonic()
        await until(lambda: len(prices(broker)) == 200, seconds=600)
        assert OPEN_SECONDS - 5 < broker.clock.monotonic() - began < OPEN_SECONDS + 30
    assert_in_order_once(prices(broker), 200)
    assert [one.by for one in prices(broker)] == ["a"] * 50 + ["b"] * 150
    assert stage.replacements[ReplacementCause.BREAKER_OPEN] == 1
    assert stage.breaker_state.value == "closed"
    assert not broker.values("shop.data_enrichment.dlq")
    assert Pricer.notes == ["open a", "open b", "close a", "close b"]


@in_virtual_time
async def test_an_agent_that_is_unregistered_is_replaced_and_other_stages_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await shop_broker(partitions=3)
    registry = registry_of("a", "b", "c")
    Pricer.waits = 1.0
    made = assembled(registry, Scores(clock=broker.clock))
    service = shop_service(broker, made)
    async with running(service):
        await order(broker, range(100))
        await until(lambda: len(prices(broker, 3)) > 10)
        registry.unregister("a")
        await order(broker, range(100, 200))
        await until(lambda: len(prices(broker, 3)) == 200, seconds=100)
        [chain] = service.chains
    assert_in_order_once(prices(broker, 3), 200)
    assert {one.by for one in prices(broker, 3)} == {"a", "b"}
    assert [metrics.rebalances for metrics in service.metrics] == [1, 2]
    assert [[one.agent_id for one in step.scores] for step in chain.steps] == [["check"], ["b"]]
    [told] = chain.replacements
    assert (told.agent_id, told.by, told.cause) == ("a", "b", ReplacementCause.UNREGISTERED)
    assert told.at <= broker.clock.time()
    assert told.told == (
        "agent 'a' leaves stage 'data_enrichment', because it is not registered any more;"
        " agent 'b' takes its place"
    )
    assert [(one.agent_id, one.outcome.value) for one in told.candidates] == [
        ("b", "chosen"),
        ("c", "possible"),
    ]
    assert f"pipeline 'shop': {told.told}" in caplog.messages
    assert told.told in [one.told for one in service.metrics[1].occurrences.list()]
    assert chain.as_json()["replacements"][0]["by"] == "b"
    assert service.metrics[1].replacements[ReplacementCause.UNREGISTERED] == 1


@in_virtual_time
async def test_an_agent_whose_place_nobody_can_take_stays_and_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await shop_broker()
    registry = registry_of("a")
    registry.register(check, "no-pricer", capabilities=["data_enrichment"])
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)))
    async with running(service):
        registry.unregister("a")
        await asyncio.sleep(60)
        await order(broker, range(10))
        await until(lambda: len(prices(broker)) == 10)
        [told] = service.chains[0].replacements
    assert told.by is None
    assert told.told.startswith(
        "agent 'a' of stage 'data_enrichment' should go, because it is not registered any more,"
        " and stays: 'no-pricer' does not give what the stage gave (no: "
    )
    assert caplog.messages.count(f"pipeline 'shop': {told.told}") == 1
    assert not any(service.metrics[1].replacements.values())


@in_virtual_time
async def test_an_agent_that_is_pinned_stays() -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b")
    made = assembled(registry, Scores(clock=broker.clock), pins={2: "a"})
    service = shop_service(broker, made)
    async with running(service):
        registry.unregister("a")
        await asyncio.sleep(20)
        [told] = service.chains[0].replacements
    assert told.told.endswith("and stays: the step is pinned to it, so it is not replaced")


@in_virtual_time
async def test_one_that_does_not_open_is_passed_over_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b", "c")
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)))
    Pricer.refusing = {"b"}
    async with running(service):
        registry.unregister("a")
        await until(lambda: bool(service.chains[0].replacements))
        await order(broker, range(10))
        await until(lambda: len(prices(broker)) == 10)
        [told] = service.chains[0].replacements
    assert {one.by for one in prices(broker)} == {"c"}
    assert Pricer.notes == ["open a", "open c", "close a", "close c"]
    assert "agent 'b' cannot take the place of 'a'" in caplog.text
    assert [(one.agent_id, one.outcome.value) for one in told.candidates] == [
        ("b", "rejected"),
        ("c", "chosen"),
    ]
    assert "b cannot connect" in told.candidates[0].reason


@in_virtual_time
async def test_while_none_opens_the_old_agent_works_on_and_none_is_tried_again_and_again() -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b", "c")
    made = assembled(registry, Scores(clock=broker.clock))
    service = shop_service(broker, made, avoid_seconds=100.0)
    Pricer.refusing = {"b", "c"}
    async with running(service):
        registry.unregister("a")
        await asyncio.sleep(60)
        await order(broker, range(10))
        await until(lambda: len(prices(broker)) == 10)
        assert service.metrics[1].rebalances == 1
        Pricer.refusing = {"b"}
        await until(lambda: service.metrics[1].rebalances == 2, seconds=100)
    assert {one.by for one in prices(broker)} == {"a"}
    assert Pricer.notes == ["open a", "open c", "close a", "close c"]


@in_virtual_time
async def test_one_that_goes_bad_too_is_replaced_and_none_comes_back_soon() -> None:
    broker = await shop_broker()
    made = assembled(registry_of("a", "b"), Scores(clock=broker.clock))
    service = shop_service(broker, made, avoid_seconds=1000.0)
    stage = service.metrics[1]
    Pricer.down = {"a", "b"}
    async with running(service):
        await order(broker, range(50))
        await asyncio.sleep(900)
        assert sum(stage.replacements.values()) == 1
        assert stage.held_since is not None
        last = service.chains[0].replacements[-1]
        assert (last.agent_id, last.by) == ("b", None)
        assert last.told.endswith("stays: 'a' was replaced lately for its open breaker")
        await asyncio.sleep(300)  # now it may come back
        assert sum(stage.replacements.values()) == 2
        Pricer.down = {"b"}
        await until(lambda: len(prices(broker)) == 50, seconds=100)
    assert_in_order_once(prices(broker), 50)
    assert Pricer.notes == ["open a", "open b", "close a", "open a", "close b", "close a"]


@pytest.mark.parametrize("after_seconds", [0.0, 0.01, 1.0, 4.99, 5.0, 5.1, 8.0])
@in_virtual_time
async def test_a_stop_may_come_at_any_moment_of_a_replacement(after_seconds: float) -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b")
    Pricer.waits = 4.0
    made = assembled(registry, Scores(clock=broker.clock))
    service = shop_service(broker, made)
    async with running(service):
        await order(broker, range(20))
        await until(lambda: service.metrics[1].in_flight_records == 20)
        registry.unregister("a")
        await asyncio.sleep(after_seconds)
    rest = shop_service(broker, assembled(registry_of("b"), Scores(clock=broker.clock)))
    await rest.run(until_end=True)
    assert_in_order_once(prices(broker), 20)
    assert sorted(Pricer.notes) in (
        ["close a", "close b", "open a", "open b"],
        ["close a", "close b", "close b", "open a", "open b", "open b"],
    )


@in_virtual_time
async def test_bounded_work_ends_although_an_agent_was_replaced() -> None:
    broker = await shop_broker(partitions=2)
    registry = registry_of("a", "b")
    Pricer.waits = 1.0
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)))
    await order(broker, range(100))

    async def unregister() -> None:
        await asyncio.sleep(7)
        registry.unregister("a")

    async with asyncio.TaskGroup() as group:
        group.create_task(unregister())
        await service.run(until_end=True)
    assert_in_order_once(prices(broker, 2), 100)
    assert {one.by for one in prices(broker, 2)} == {"a", "b"}


@in_virtual_time
async def test_workers_replace_each_for_itself_while_others_come_and_go() -> None:
    broker = await shop_broker(partitions=4)
    Pricer.waits = 0.3
    registries = [registry_of("a", "b"), registry_of("a", "b", "c")]
    first, second = (
        shop_service(broker, assembled(one, Scores(clock=broker.clock))) for one in registries
    )
    async with running(first):
        await order(broker, range(100), keys=10)
        await until(lambda: len(prices(broker, 4)) > 10)
        registries[0].unregister("a")
        async with running(second):
            await asyncio.sleep(4.9)
            registries[1].unregister("a")
            registries[1].unregister("b")
            await order(broker, range(100, 300), keys=10)
            await until(lambda: len(prices(broker, 4)) > 200, seconds=100)
        await until(lambda: len(prices(broker, 4)) == 300, seconds=100)
    assert_in_order_once(prices(broker, 4), 300, keys=10)
    assert {one.by for one in prices(broker, 4)} == {"a", "b", "c"}


@in_virtual_time
async def test_a_replacement_waits_until_the_broker_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_admin: MemoryAdmin, _names: Collection[str]) -> NoReturn:
        raise BrokerError("no descriptions for now")

    broker = await shop_broker()
    registry = registry_of("a", "b")
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)))
    async with running(service):
        await asyncio.sleep(1)
        registry.unregister("a")
        with monkeypatch.context() as outage:
            outage.setattr(MemoryAdmin, "describe_topics", refuse)
            await asyncio.sleep(20)
        assert "agent 'a' is not replaced yet: no descriptions for now" in caplog.text
        assert Pricer.notes == ["open a"]
        await until(lambda: Pricer.notes == ["open a", "open b", "close a"])


@pytest.mark.parametrize("ends", [True, False])
@in_virtual_time
async def test_an_attempt_that_does_not_end_keeps_nobody_from_going_on(ends: bool) -> None:
    broker = await shop_broker()
    registry = registry_of("a", "b")
    hangs = asyncio.Event()

    class Deaf(Pricer):
        async def __call__(self, given: Order) -> Priced:
            while given.n == 3 and not hangs.is_set():
                with suppress(asyncio.CancelledError):
                    await hangs.wait()
            return Priced(n=given.n, by=self.agent_id)

    registry.replace(agent(name="a", capabilities=[PRICE])(Deaf("a")))
    service = shop_service(broker, assembled(registry, Scores(clock=broker.clock)))
    # The process is ended by force in the one case, as after a drain that takes too long.
    with nullcontext() if ends else pytest.raises(DrainTimeoutError):
        async with running(service):
            await order(broker, range(10))
            await until(lambda: service.metrics[1].in_flight_records > 0)
            registry.unregister("a")
            await until(lambda: len(prices(broker)) == 10, seconds=100)
            if ends:
                hangs.set()
    hangs.set()
    assert_in_order_once(prices(broker), 10)


@pytest.mark.parametrize("fused", [False, True])
@in_virtual_time
async def test_in_a_bundle_who_comes_reads_with_the_consumer_of_the_bundle(fused: bool) -> None:
    broker = await shop_broker(partitions=4)
    registry = registry_of("a", "b", "c")
    made = assembled(registry, Scores(clock=broker.clock), fused=fused)
    service = shop_service(broker, made, bundle="shops")
    async with running(service):
        await until(lambda: service.metrics[0].rebalances == 1)
        for goes in ("a", "b"):
            registry.unregister(goes)
            await until(partial(Pricer.notes.__contains__, f"close {goes}"), seconds=100)
            assert await broker.admin().member_count("shops") == 1
        # A second member would be given partitions of which nobody would read its share.
        await order(broker, range(80), keys=40)
        await until(lambda: len(prices(broker, 4)) == 80, seconds=100)
    assert {one.by for one in prices(broker, 4)} == {"c"}


@pytest.mark.parametrize("bundle", [None, "shops"])
@in_virtual_time
async def test_who_is_unregistered_before_it_has_its_place_is_replaced_in_turn(
    bundle: str | None,
) -> None:
    broker = await shop_broker()
    Pricer.waits = 2.0
    registry = registry_of("a", "b", "c")
    service = shop_service(
        broker, assembled(registry, Scores(clock=broker.clock)), check_seconds=1.0, bundle=bundle
    )
    async with running(service):
        await order(broker, range(20))
        await until(lambda: service.metrics[1].in_flight_records > 0)
        registry.unregister("a")
        await until(lambda: "open b" in Pricer.notes)
        assert "close a" not in Pricer.notes  # it still works
        registry.unregister("b")
        await until(lambda: len(prices(broker)) == 20, seconds=100)
    assert_in_order_once(prices(broker), 20)
    assert {one.by for one in prices(broker)} <= {"a", "b", "c"}
    assert [one.by for one in service.chains[0].replacements] == ["b", "c"]


@pytest.mark.parametrize("bundle", [None, "shops"])
@pytest.mark.parametrize("comes_back", [True, False])
@in_virtual_time
async def test_an_outage_that_begins_during_a_replacement_does_not_end_the_worker(
    bundle: str | None, comes_back: bool
) -> None:
    broker = await shop_broker()
    Pricer.waits = 3.0
    registry = registry_of("a", "b")
    service = shop_service(
        broker, assembled(registry, Scores(clock=broker.clock)), check_seconds=1.0, bundle=bundle
    )
    async with running(service):
        await order(broker, range(10))
        await until(lambda: service.metrics[1].in_flight_records > 0)
        registry.unregister("a")
        await until(lambda: "open b" in Pricer.notes)
        broker.starts_refused = True
        starts = len(broker.started_at)
        await until(lambda: len(broker.started_at) >= starts + 3, seconds=60)
        assert service.metrics[1].cut_off_since is not None
        broker.starts_refused = not comes_back
        await order(broker, range(10, 20))
        await until(lambda: not comes_back or len(prices(broker)) == 20, seconds=60)
    if comes_back:
        assert_in_order_once(prices(broker), 20)
