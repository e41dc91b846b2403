"""The producer that stages share: how it is replaced, and how it ends."""

import asyncio
import random
from itertools import pairwise

import pytest

from streamapp.brokers.protocols import ProducerConfig
from streamapp.errors import BrokerError
from streamapp.runtime.producer import SharedProducer
from tests.unit.runtime.agents import same
from tests.unit.runtime.faults import FaultyBroker, running, until
from tests.unit.runtime.virtual import (
    Longest,
    broker_for,
    broker_with,
    in_virtual_time,
    loop,
    one_stage,
    service,
)

pytestmark = pytest.mark.timeout(20)  # a replacement that goes round without a pause never ends


def producer_on(broker: FaultyBroker) -> SharedProducer:
    return SharedProducer(broker, ProducerConfig(), broker.clock, Longest())


async def refused_starts(broker: FaultyBroker, producer: SharedProducer, count: int) -> list[float]:
    """Waits between so many attempts to replace the producer, before one succeeds."""
    before = len(broker.refused_at)
    broker.producers_refused = True
    replacing = asyncio.create_task(producer.replace(producer.generation))
    await until(lambda: len(broker.refused_at) == before + count, seconds=100)
    broker.producers_refused = False
    await replacing
    return [later - earlier for earlier, later in pairwise(broker.refused_at[before:])]


@in_virtual_time
async def test_waits_for_a_new_producer_grow_to_their_bound_and_begin_anew_with_each_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_with()
    producer = producer_on(broker)
    await producer.start()
    waits = await refused_starts(broker, producer, 8)
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 10, 10])
    told = [text for text in caplog.messages if "a new producer could not be started" in text]
    assert len(told) == 8, "an operator sees each attempt that failed"
    assert await refused_starts(broker, producer, 2) == pytest.approx([0.5])


@in_virtual_time
async def test_a_producer_that_is_replaced_or_no_longer_needed_is_stopped() -> None:
    broker = await broker_for("p")
    async with running(service(broker, one_stage(same))):
        broker.fail_batches["p-out"] = 1
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: broker.values("p-out") == [b"1"])
        assert (broker.producers_made, broker.producers_running) == (2, 1)
    assert broker.producers_running == 0


@in_virtual_time
async def test_a_producer_that_does_not_stop_is_abandoned_after_five_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = await broker_with()
    producer = producer_on(broker)
    await producer.start()
    broker.producers_stop = False
    begun = loop().time()
    await producer.replace(producer.generation)
    assert loop().time() - begun == pytest.approx(5)
    assert producer.is_current(producer.generation)
    assert any("did not close properly" in text for text in caplog.messages)


@in_virtual_time
async def test_each_producer_has_the_next_number_and_is_replaced_once() -> None:
    broker = await broker_with()
    producer = SharedProducer(broker, ProducerConfig(), broker.clock, random.Random(0))
    await producer.start()
    assert producer.generation == 1
    await asyncio.gather(producer.replace(1), producer.replace(1))
    assert producer.generation == 2
    assert broker.producers_made == 2
    assert not producer.is_current(1)


@in_virtual_time
async def test_there_is_no_producer_to_use_while_it_is_replaced() -> None:
    broker = await broker_with()
    producer = producer_on(broker)
    await producer.start()
    assert producer.current is not None
    broker.producers_refused = True
    replacing = asyncio.create_task(producer.replace(1))
    await until(lambda: broker.fired["start"] == 1)
    with pytest.raises(BrokerError, match="being replaced"):
        _ = producer.current
    assert not producer.is_current(1)
    replacing.cancel()


@in_virtual_time
async def test_a_batch_that_a_producer_has_not_taken_when_it_is_replaced_is_refused() -> None:
    broker = await broker_with("t")
    producer = producer_on(broker)
    await producer.start()
    batch = producer.current.create_batch()
    batch.append(timestamp=1, key=b"k", value=b"v", headers=())
    broker.held["t"] = asyncio.Event()
    sending = asyncio.create_task(producer.send_batch(batch, "t", 0))
    await until(lambda: broker.fired["held"] == 1)
    await producer.replace(1)
    with pytest.raises(BrokerError, match="was replaced before it took this batch"):
        await sending


@in_virtual_time
async def test_the_producer_of_a_worker_that_never_had_one_can_be_stopped() -> None:
    broker = await broker_with()
    await producer_on(broker).stop()
    assert broker.producers_running == 0
