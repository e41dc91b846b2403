"""What is known of how far a stage is behind, and whether Kafka tells it."""

import asyncio

import pytest

from streamapp.brokers.protocols import ConsumerConfig, TopicSpec
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.record import TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.lag import LagWatch
from tests.unit.runtime.agents import gated, same
from tests.unit.runtime.faults import running, until
from tests.unit.runtime.test_faults import Listening
from tests.unit.runtime.virtual import (
    broker_for,
    broker_with,
    in_virtual_time,
    one_stage,
    service,
)


@in_virtual_time
async def test_a_stage_is_cut_off_until_it_is_assigned_though_its_lag_is_measured_in_a_drain() -> (
    None
):
    broker, gate = await broker_for("p", partitions=2), asyncio.Event()

    first, second = service(broker, one_stage(gated(gate))), service(broker, one_stage(gated(gate)))
    metrics = first.metrics[0]
    async with running(first):
        await broker.write("p-in", (b"k", b"1"))
        await until(lambda: metrics.busy_lanes == 1)
        async with running(second):
            await until(lambda: metrics.cut_off_since is not None)
            began_at = metrics.cut_off_since
            await broker.write("p-in", (b"k", b"2"), partition=0)
            await until(lambda: sum(p.lag_records or 0 for p in metrics.partitions.values()) == 2)
            assert metrics.cut_off_since == began_at
            gate.set()
            await until(lambda: metrics.cut_off_since is None)
            assert metrics.rebalances == 2


@in_virtual_time
async def test_lag_is_measured_each_second() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate)))
    partitions = stage.metrics[0].partitions
    async with running(stage):
        await until(lambda: [p.lag_records for p in partitions.values()] == [0])
        for lag in range(1, 4):
            await broker.write("p-in", (b"k", b"1"))
            await asyncio.sleep(1.05)
            assert [p.lag_records for p in partitions.values()] == [lag]
        gate.set()


@in_virtual_time
async def test_kafka_may_take_five_seconds_to_tell_where_partitions_end() -> None:
    broker = await broker_for("p")
    stage = service(broker, one_stage(same))
    [metrics] = stage.metrics
    async with running(stage):
        await until(lambda: [p.lag_records for p in metrics.partitions.values()] == [0])
        asked_at = broker.clock.monotonic()
        broker.ends_unanswered = True
        await until(lambda: metrics.cut_off_since is not None)
        assert metrics.cut_off_since == pytest.approx(asked_at + 1 + 5, abs=0.1)
        broker.ends_unanswered = False


@in_virtual_time
async def test_the_lag_of_a_partition_that_waits_for_a_replay_is_unknown_and_no_others() -> None:
    broker = await broker_with("p-in", partitions=2)
    waiting, read = TopicPartition("p-in", 0), TopicPartition("p-in", 1)
    for partition in range(2):
        await broker.write("p-in", (b"k", b"1"), partition=partition)
    consumer = broker.consumer(ConsumerConfig("g", ("p-in",)), Listening())
    await consumer.start()
    await until(lambda: len(consumer.assignment()) == 2)
    assignment = Assignment(consumer, StageMetrics("p", "stage", "p-in"))
    assignment.open([waiting, read], {})
    assignment.suspend()
    assignment.resume({}, except_for=[waiting])
    watch = LagWatch(assignment, broker.clock, on_measured=lambda: None)

    await watch.measure()

    assert assignment.metrics.partitions[waiting].lag_records is None
    assert assignment.metrics.partitions[read].lag_records == 1, "though nothing was delivered yet"
    await consumer.stop()


@pytest.mark.parametrize("timestamp", [0, 1, 5000])
@in_virtual_time
async def test_the_oldest_record_may_be_as_old_as_the_epoch(timestamp: int) -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    stage = service(broker, one_stage(gated(gate)))
    partitions = stage.metrics[0].partitions
    async with running(stage):
        await broker.write("p-in", (b"k", b"1"), timestamp=timestamp)
        await asyncio.sleep(2.5)  # delivered, and looked at once more
        assert [p.lag_records for p in partitions.values()] == [1]
        oldest = [p.oldest_timestamp_seconds for p in partitions.values()]
        assert oldest == [timestamp / 1000]
        gate.set()


@in_virtual_time
async def test_what_waits_is_deleted_by_its_own_timestamp_not_by_when_it_came() -> None:
    broker, gate = await broker_with("p-out", "p.stage.dlq"), asyncio.Event()
    kept = {"retention.ms": "3600000"}
    await broker.admin().create_topics([TopicSpec("p-in", 1, config=kept)])
    stage = service(broker, one_stage(gated(gate)))
    async with running(stage):
        await until(lambda: bool(stage.metrics[0].partitions))
        [own] = stage.metrics[0].partitions.values()
        written_ms = int((broker.clock.time() - 1800) * 1000)
        await broker.write("p-in", (b"k", b"1"), timestamp=written_ms)
        await asyncio.sleep(30)
        assert own.retention_left_seconds == pytest.approx(3570, abs=2), "it is just being read"
        await asyncio.sleep(90)
        assert own.retention_left_seconds == pytest.approx(1680, abs=2)
        gate.set()
