"""Clients whose broker goes away: every wait ends, and nothing runs on."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import client as client_module
from aiokafka.conn import create_conn

from streamapp.beside import beside
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import CommittedOffset, ProducerConfig
from streamapp.clock import SystemClock
from streamapp.errors import BrokerError
from streamapp.exporter import watch as watch_module
from streamapp.exporter.watch import OutsideWatch
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.settings import KafkaSettings
from streamapp.topics.topic import Topic
from tests.contract.harness import (
    PATIENCE_SECONDS,
    Listener,
    assigned,
    group_of,
    places,
    read_values,
    send,
)
from tests.kafka import Kafka, running_kafka
from tests.patience import eventually, within

pytestmark = pytest.mark.kafka


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Kafka]:
    """A broker that the test may take down."""
    with running_kafka(tmp_path / "broker") as kafka:
        yield kafka


async def test_clients_end_in_time_and_leave_nothing_running(fragile: Kafka) -> None:
    topic = await fragile.create_topic()
    (place,) = places(topic, 1)
    settings = KafkaSettings(bootstrap_servers=fragile.bootstrap_servers, stop_timeout_seconds=1.0)
    broker = KafkaBroker(settings)
    producer, admin = broker.producer(ProducerConfig()), broker.admin()
    consumer = broker.consumer(group_of(topic), Listener())
    for client in (producer, consumer, admin):
        await client.start()
    await send(producer, topic, [b"before"])
    await assigned(consumer, [place])
    assert await read_values(consumer, 1) == [b"before"]
    await asyncio.to_thread(fragile.broker.down)

    batches = []
    for _ in range(2):
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=b"during")
        batches.append(batch)
    unsent = await producer.send_batch(batches[0], topic, 0)
    blocked = asyncio.create_task(producer.send_batch(batches[1], topic, 0))
    with pytest.raises(BrokerError, match="committing failed"):
        await consumer.commit({place: CommittedOffset(1)})
    assert await consumer.fetch([place], max_records=9, timeout_seconds=0.1) == {}

    async with within(PATIENCE_SECONDS, "clients to stop in an outage"):
        await producer.stop()
        await consumer.stop()
        await admin.stop()
    with pytest.raises(BrokerError, match="was stopped before"):
        await unsent
    with pytest.raises(BrokerError, match="was stopped before"):
        await (await blocked)
    await asyncio.sleep(0)  # connections that were closed say so one turn later
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stop_ends_the_wait_of_a_batch_for_the_partitions_of_its_topic(
    fragile: Kafka,
) -> None:
    settings = KafkaSettings(bootstrap_servers=fragile.bootstrap_servers, stop_timeout_seconds=1.0)
    producer = KafkaBroker(settings).producer(ProducerConfig())
    await producer.start()
    topic = await fragile.create_topic()  # the producer has not heard of it
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"1")
    status = fragile.broker.status()
    assert status is not None
    [process] = status.pids
    os.kill(process, signal.SIGSTOP)
    try:
        asking = asyncio.create_task(producer.send_batch(batch, topic, 0))
        await asyncio.sleep(0)
        async with within(PATIENCE_SECONDS, "the producer to stop"):
            await producer.stop()
    finally:
        os.kill(process, signal.SIGCONT)
    with pytest.raises(BrokerError, match="was stopped before"):
        await (await asking)


async def test_few_connects_are_made_in_an_outage(
    fragile: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects = 0

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal connects
        connects += 1
        return await create_conn(*arguments, **options)

    monkeypatch.setattr(client_module, "create_conn", counted)
    topic = await fragile.create_topic()
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=fragile.bootstrap_servers))
    producer, consumer = (
        broker.producer(ProducerConfig()),
        broker.consumer(group_of(topic), Listener()),
    )
    await producer.start()
    await consumer.start()
    await assigned(consumer, places(topic, 1))
    await asyncio.to_thread(fragile.broker.down, keep_data=True)
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"during")
    unsent = await producer.send_batch(batch, topic, 0)
    await consumer.fetch(places(topic, 1), max_records=9, timeout_seconds=3)
    connects = 0
    await consumer.fetch(places(topic, 1), max_records=9, timeout_seconds=10)
    # Each client makes one in a second; what is asked meanwhile waits for it.
    assert 2 <= connects <= 40

    await asyncio.to_thread(fragile.broker.up)
    async with within(PATIENCE_SECONDS, "what was not sent to be sent"):
        await unsent
        assert await read_values(consumer, 1) == [b"during"]
    await producer.stop()
    await consumer.stop()


@agent
def same(value: int) -> int:
    return value


async def test_an_exporter_tells_nothing_in_an_outage_and_goes_on_after_it(
    fragile: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = await fragile.create_topic(), await fragile.create_topic()
    segments = build(Pipeline("p", source=Topic(source, int)).stage(same).sink(out)).segments
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=fragile.bootstrap_servers))
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 1.0)
    watch = OutsideWatch(broker, SystemClock(), segments, interval_seconds=0.1)
    async with beside(watch.run()):
        await eventually(lambda: watch.snapshot() is not None, seconds=PATIENCE_SECONDS)
        status = fragile.broker.status()
        assert status is not None
        [process] = status.pids
        os.kill(process, signal.SIGSTOP)
        try:
            await eventually(lambda: watch.snapshot() is None, seconds=PATIENCE_SECONDS)
            assert watch.why_unknown == "Kafka does not answer in time"
        finally:
            os.kill(process, signal.SIGCONT)
        await eventually(lambda: watch.snapshot() is not None, seconds=PATIENCE_SECONDS)
