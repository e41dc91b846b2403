"""When records are finished: never before their outputs are acknowledged."""

import asyncio
import random

from streamapp.brokers.protocols import ConsumerConfig, ProducerConfig
from streamapp.observability.progress import ProgressWatch
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import agent
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.config import Environment, RuntimeConfig
from streamapp.runtime.delivery import AtLeastOnce
from streamapp.runtime.partition import Partition, Phase
from streamapp.runtime.producer import SharedProducer
from streamapp.runtime.work import Work
from tests.unit.runtime.faults import running, until, until_committed
from tests.unit.runtime.test_faults import Listening
from tests.unit.runtime.virtual import broker_for, in_virtual_time, one_stage, service


@in_virtual_time
async def test_a_record_is_not_finished_before_its_output_though_the_next_one_suspends() -> None:
    broker, gate = await broker_for("p"), asyncio.Event()

    @agent
    async def suspend_at_two(value: bytes) -> bytes:
        if value == b"2":
            await gate.wait()
        return value

    stage = service(broker, one_stage(suspend_at_two, concurrency=1))
    [metrics] = stage.metrics
    async with running(stage):
        broker.unanswered.add("p-out")
        await broker.write("p-in", (b"a", b"1"), (b"b", b"2"))
        await asyncio.sleep(10)
        assert broker.values("p-out") == [b"1"]
        assert metrics.in_flight_records == 2
        assert await broker.committed("p.stage") == 0
        broker.unanswered.clear()
        broker.answers[0].set_result(None)
        await until_committed(broker, "p.stage", 1)
        assert metrics.records_out["p-out"] == 1
        gate.set()
        await until(lambda: broker.values("p-out") == [b"1", b"2"])
    assert await broker.committed("p.stage") == 2


@in_virtual_time
async def test_records_of_a_closed_partition_are_not_finished_and_those_of_others_are() -> None:
    broker = await broker_for("p", partitions=3)
    clock, rng = broker.clock, random.Random(0)
    producer = SharedProducer(broker, ProducerConfig(), clock, rng)
    await producer.start()
    environment = Environment(
        broker, broker.admin(), producer, clock, rng, RuntimeConfig(), execution_id="e"
    )
    metrics, finished = StageMetrics("p", "stage", "p-in"), asyncio.Event()
    consumer = broker.consumer(ConsumerConfig("g", ("p-in",)), Listening())
    delivery = AtLeastOnce(
        Assignment(consumer, metrics),
        environment,
        ProgressWatch(metrics, clock),
        max_bytes=1 << 20,
        on_finished=finished.set,
        on_failed=lambda _error: None,
        on_lost=lambda: None,
    )
    partitions = [Partition(TopicPartition("p-in", i), position=0) for i in range(3)]
    for partition in partitions:
        partition.admit([0], 0)
        partition.in_flight_records = 1
        record = StoredRecord(0, 0, b"k", b"1")
        delivery.outbox(partition).add(Work(record, partition, b"k"))
    partitions[1].phase = Phase.CLOSED
    sending = asyncio.create_task(delivery.run())
    delivery.flush_now()
    await until(finished.is_set)
    sending.cancel()
    assert [partition.in_flight_records for partition in partitions] == [0, 1, 0]
    assert [partition.frontier.offset for partition in partitions] == [1, 0, 1]
