"""What a shared member tells its readers when its consumer does what is rare."""

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest

from streamapp.brokers.protocols import Broker, ConsumerConfig, FetchedRecords, RebalanceListener
from streamapp.brokers.shared.broker import SharedBroker
from streamapp.brokers.shared.view import View
from streamapp.clock import SystemClock
from streamapp.record import TopicPartition
from tests.contract.harness import Listener
from tests.patience import within

PLACES = {topic: TopicPartition(topic, 0) for topic in ("first", "second")}
ALL = frozenset(PLACES.values())
ASSIGNED = [("assigned", frozenset({PLACES[topic]})) for topic in PLACES]
REVOKED = [("revoked", frozenset({PLACES[topic]})) for topic in PLACES]


class ScriptedConsumer:
    """Has all partitions whenever it runs; whoever waits for records gets what the test says.

    Attributes:
        ends_rebalance: whether a rebalance ends while it stops, as an open request of Kafka's
            client does.
        failure: raised by the next wait for records.
    """

    def __init__(self) -> None:
        self.ends_rebalance = False
        self.failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.held: frozenset[TopicPartition] = frozenset()
        self.listener: RebalanceListener = Listener()

    def consumer(self, _config: ConsumerConfig, listener: RebalanceListener) -> "ScriptedConsumer":
        self.listener = listener
        return self

    async def start(self) -> None:
        self.held = ALL

    async def stop(self) -> None:
        if self.ends_rebalance:
            await self.rebalance()
        self.held = frozenset()

    async def rebalance(self) -> None:
        await self.listener.on_partitions_revoked(self.held)
        self.held = ALL
        await self.listener.on_partitions_assigned(self.held)

    def assignment(self) -> frozenset[TopicPartition]:
        return self.held

    def subscribe(self, topics: Collection[str]) -> None:
        assert set(topics) == set(PLACES)

    def pause(self, *_partitions: TopicPartition) -> None: ...

    def resume(self, *_partitions: TopicPartition) -> None: ...

    async def fetch(self, *_: Any, **__: Any) -> dict[TopicPartition, FetchedRecords]:
        return {}

    async def wait_for_records(self, _timeout_seconds: float) -> Collection[TopicPartition]:
        raise await self.failure


def two_views(consumer: ScriptedConsumer) -> tuple[list[View], list[Listener]]:
    broker = SharedBroker(cast("Broker", consumer), SystemClock())
    listeners = [Listener(), Listener()]
    views = [
        broker.consumer(ConsumerConfig(group="bundle", topics=(topic,)), listener)
        for topic, listener in zip(PLACES, listeners, strict=True)
    ]
    return views, listeners


async def test_a_rebalance_that_ends_while_the_member_starts_anew_is_told_to_nobody() -> None:
    consumer = ScriptedConsumer()
    (back, other), listeners = two_views(consumer)
    await back.start()
    await other.start()
    await consumer.rebalance()
    await back.stop()
    before = len(listeners[1].calls)
    consumer.ends_rebalance = True
    await back.start()
    told = listeners[1].calls[before:]
    assert told
    assert all(call == REVOKED[1] for call in told)
    await consumer.rebalance()  # of the new run
    assert [one.calls[-1] for one in listeners] == ASSIGNED
    consumer.ends_rebalance = False
    for view in (back, other):
        await view.stop()


async def test_when_polling_fails_without_a_known_reason_every_fetch_of_the_bundle_fails() -> None:
    consumer = ScriptedConsumer()
    views, _ = two_views(consumer)
    for view in views:
        await view.start()
    await consumer.rebalance()
    waiting = [
        asyncio.ensure_future(view.fetch(asked, max_records=1, timeout_seconds=60))
        for view in views
        for asked in (view.assignment(), ())
    ]
    await asyncio.sleep(0)
    consumer.failure.set_result(KeyError("nobody thought of this"))
    async with within(5, "all fetches to end"):
        await asyncio.wait(waiting)
    later = [view.fetch((), max_records=1, timeout_seconds=0) for view in views]
    for fetch in [*waiting, *later]:
        with pytest.raises(KeyError, match="nobody thought of this"):
            await fetch
    for view in views:
        await view.stop()
